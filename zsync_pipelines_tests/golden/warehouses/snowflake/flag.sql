-- members are added

SELECT 1 FROM information_schema.schemata WHERE schema_name = ?;
CREATE TABLE "PUBLIC"."zsync_receipts" ("idempotency_key" VARCHAR NOT NULL PRIMARY KEY, "sync_id" VARCHAR NOT NULL, "run_id" VARCHAR NOT NULL, "number" NUMBER(19, 0) NOT NULL, "op" VARCHAR NOT NULL, "rows" NUMBER(19, 0) NOT NULL, "receipt" VARCHAR NOT NULL, "at" TIMESTAMP_NTZ NOT NULL);
CREATE TABLE "PUBLIC"."zsync_adopted" ("target_table" VARCHAR NOT NULL, "sync_id" VARCHAR NOT NULL, "entity_key" VARCHAR NOT NULL, PRIMARY KEY ("target_table", "sync_id", "entity_key"));
DELETE FROM "PUBLIC"."zsync_receipts" WHERE "at" < ?;
CREATE TABLE "PUBLIC"."contacts" ("id" VARCHAR NOT NULL PRIMARY KEY, "email" VARCHAR, "spent" NUMBER(38, 2), "rate" FLOAT, "orders" NUMBER(19, 0), "vip" BOOLEAN, "born" DATE, "seen" TIMESTAMP_TZ, "local" TIMESTAMP_NTZ, "is_member" BOOLEAN NOT NULL DEFAULT TRUE);
SELECT "receipt" FROM "PUBLIC"."zsync_receipts" WHERE "idempotency_key" = ?;
SELECT 1 FROM "PUBLIC"."zsync_adopted" WHERE "target_table" = ? AND "sync_id" = ? LIMIT 1;
CREATE OR REPLACE TEMPORARY TABLE zsync_staged_rows AS SELECT "id" AS k, "email" AS c0, "spent" AS c1, "rate" AS c2, "orders" AS c3, "vip" AS c4, "born" AS c5, "seen" AS c6, "local" AS c7, CAST(NULL AS VARCHAR) AS entity_key, CAST(NULL AS BOOLEAN) AS maybe_there FROM "PUBLIC"."contacts" LIMIT 0;
INSERT INTO zsync_staged_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
BEGIN TRANSACTION;
SELECT s.entity_key FROM zsync_staged_rows AS s JOIN "PUBLIC"."contacts" AS t ON t."id" = s.k WHERE NOT s.maybe_there AND (t."is_member" IS NULL OR t."is_member");
SELECT 1 FROM "PUBLIC"."zsync_adopted" WHERE "target_table" = ? AND "sync_id" = ? LIMIT 1;
MERGE INTO "PUBLIC"."contacts" AS t USING zsync_staged_rows AS s ON t."id" = s.k WHEN MATCHED THEN UPDATE SET "email" = s.c0, "spent" = s.c1, "rate" = s.c2, "orders" = s.c3, "vip" = s.c4, "born" = s.c5, "seen" = s.c6, "local" = s.c7, "is_member" = TRUE WHEN NOT MATCHED THEN INSERT ("id", "email", "spent", "rate", "orders", "vip", "born", "seen", "local", "is_member") VALUES (s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7, TRUE);
INSERT INTO "PUBLIC"."zsync_receipts" VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;

-- a member is removed

DELETE FROM "PUBLIC"."zsync_receipts" WHERE "at" < ?;
SELECT "receipt" FROM "PUBLIC"."zsync_receipts" WHERE "idempotency_key" = ?;
CREATE OR REPLACE TEMPORARY TABLE zsync_staged_rows AS SELECT "id" AS k, CAST(NULL AS VARCHAR) AS entity_key, CAST(NULL AS BOOLEAN) AS maybe_there FROM "PUBLIC"."contacts" LIMIT 0;
INSERT INTO zsync_staged_rows VALUES (?, ?, ?);
BEGIN TRANSACTION;
MERGE INTO "PUBLIC"."contacts" AS t USING zsync_staged_rows AS s ON t."id" = s.k WHEN MATCHED THEN UPDATE SET "is_member" = FALSE;
INSERT INTO "PUBLIC"."zsync_receipts" VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;
