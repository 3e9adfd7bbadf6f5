-- the first run makes the tables

SET timezone TO 'UTC';
SET datestyle TO 'ISO';
BEGIN;
SELECT has_schema_privilege(?, 'create');
CREATE TABLE "public"."zsync_receipts" ("idempotency_key" VARCHAR(64) NOT NULL PRIMARY KEY, "sync_id" VARCHAR(65535) NOT NULL, "run_id" VARCHAR(65535) NOT NULL, "number" BIGINT NOT NULL, "op" VARCHAR(65535) NOT NULL, "rows" BIGINT NOT NULL, "receipt" VARCHAR(65535) NOT NULL, "at" TIMESTAMP NOT NULL);
SELECT has_schema_privilege(?, 'create');
CREATE TABLE "public"."zsync_adopted" ("target_table" VARCHAR(64) NOT NULL, "sync_id" VARCHAR(64) NOT NULL, "entity_key" VARCHAR(65535) NOT NULL, PRIMARY KEY ("target_table", "sync_id", "entity_key"));
DELETE FROM "public"."zsync_receipts" WHERE "at" < ?;
CREATE TABLE "public"."contacts" ("id" VARCHAR(65535) NOT NULL PRIMARY KEY, "email" VARCHAR(65535), "spent" NUMERIC(38, 2), "rate" DOUBLE PRECISION, "orders" BIGINT, "vip" BOOLEAN, "born" DATE, "seen" TIMESTAMP WITH TIME ZONE, "local" TIMESTAMP);
COMMIT;

-- members are added

BEGIN;
LOCK TABLE "public"."zsync_receipts";
SELECT "receipt" FROM "public"."zsync_receipts" WHERE "idempotency_key" = ?;
SELECT 1 FROM "public"."zsync_adopted" WHERE "target_table" = ? AND "sync_id" = ? LIMIT 1;
DROP TABLE IF EXISTS zsync_staged_rows;
CREATE TEMP TABLE zsync_staged_rows AS SELECT "id" AS k, "email" AS c0, "spent" AS c1, "rate" AS c2, "orders" AS c3, "vip" AS c4, "born" AS c5, "seen" AS c6, "local" AS c7, CAST(NULL AS VARCHAR(65535)) AS entity_key, CAST(NULL AS BOOLEAN) AS maybe_there FROM "public"."contacts" LIMIT 0;
INSERT INTO zsync_staged_rows VALUES ('ann','o''hara' || CHR(92) || '@x.org','9.99','0.5',3,'true','1999-12-31','2024-02-29T12:00:00.000000Z',NULL,'ann','false');
SELECT s.entity_key FROM zsync_staged_rows AS s JOIN "public"."contacts" AS t ON t."id" = s.k WHERE NOT s.maybe_there;
SELECT 1 FROM "public"."zsync_adopted" WHERE "target_table" = ? AND "sync_id" = ? LIMIT 1;
UPDATE "public"."contacts" AS t SET "email" = s.c0, "spent" = s.c1, "rate" = s.c2, "orders" = s.c3, "vip" = s.c4, "born" = s.c5, "seen" = s.c6, "local" = s.c7 FROM zsync_staged_rows AS s WHERE t."id" = s.k;
INSERT INTO "public"."contacts" ("id", "email", "spent", "rate", "orders", "vip", "born", "seen", "local") SELECT s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7 FROM zsync_staged_rows AS s WHERE NOT EXISTS (SELECT 1 FROM "public"."contacts" AS t WHERE t."id" = s.k);
INSERT INTO "public"."zsync_receipts" VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;

-- a row of a stranger's is met

BEGIN;
LOCK TABLE "public"."zsync_receipts";
SELECT "receipt" FROM "public"."zsync_receipts" WHERE "idempotency_key" = ?;
DROP TABLE IF EXISTS zsync_staged_rows;
CREATE TEMP TABLE zsync_staged_rows AS SELECT "id" AS k, "email" AS c0, "spent" AS c1, "rate" AS c2, "orders" AS c3, "vip" AS c4, "born" AS c5, "seen" AS c6, "local" AS c7, CAST(NULL AS VARCHAR(65535)) AS entity_key, CAST(NULL AS BOOLEAN) AS maybe_there FROM "public"."contacts" LIMIT 0;
INSERT INTO zsync_staged_rows VALUES ('ann','new@x.org','9.99','0.5',3,'true','1999-12-31','2024-02-29T12:00:00.000000Z',NULL,'ann','false'),('bob',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'bob','false');
SELECT s.entity_key FROM zsync_staged_rows AS s JOIN "public"."contacts" AS t ON t."id" = s.k WHERE NOT s.maybe_there;
DELETE FROM zsync_staged_rows WHERE entity_key IN (SELECT s.entity_key FROM zsync_staged_rows AS s JOIN "public"."contacts" AS t ON t."id" = s.k WHERE NOT s.maybe_there);
SELECT 1 FROM "public"."zsync_adopted" WHERE "target_table" = ? AND "sync_id" = ? LIMIT 1;
UPDATE "public"."contacts" AS t SET "email" = s.c0, "spent" = s.c1, "rate" = s.c2, "orders" = s.c3, "vip" = s.c4, "born" = s.c5, "seen" = s.c6, "local" = s.c7 FROM zsync_staged_rows AS s WHERE t."id" = s.k;
INSERT INTO "public"."contacts" ("id", "email", "spent", "rate", "orders", "vip", "born", "seen", "local") SELECT s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7 FROM zsync_staged_rows AS s WHERE NOT EXISTS (SELECT 1 FROM "public"."contacts" AS t WHERE t."id" = s.k);
INSERT INTO "public"."zsync_receipts" VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;

-- a row of a stranger's is adopted

BEGIN;
LOCK TABLE "public"."zsync_receipts";
SELECT "receipt" FROM "public"."zsync_receipts" WHERE "idempotency_key" = ?;
DROP TABLE IF EXISTS zsync_staged_rows;
CREATE TEMP TABLE zsync_staged_rows AS SELECT "id" AS k, "email" AS c0, "spent" AS c1, "rate" AS c2, "orders" AS c3, "vip" AS c4, "born" AS c5, "seen" AS c6, "local" AS c7, CAST(NULL AS VARCHAR(65535)) AS entity_key, CAST(NULL AS BOOLEAN) AS maybe_there FROM "public"."contacts" LIMIT 0;
INSERT INTO zsync_staged_rows VALUES ('ann','o''hara' || CHR(92) || '@x.org','9.99','0.5',3,'true','1999-12-31','2024-02-29T12:00:00.000000Z',NULL,'ann','false');
INSERT INTO "public"."zsync_adopted" SELECT ?, ?, s.entity_key FROM zsync_staged_rows AS s JOIN "public"."contacts" AS t ON t."id" = s.k WHERE NOT s.maybe_there AND NOT EXISTS (SELECT 1 FROM "public"."zsync_adopted" AS a WHERE a."target_table" = ? AND a."sync_id" = ? AND a."entity_key" = s.entity_key);
SELECT 1 FROM "public"."zsync_adopted" WHERE "target_table" = ? AND "sync_id" = ? LIMIT 1;
DELETE FROM "public"."zsync_adopted" WHERE "target_table" = ? AND "sync_id" = ? AND "entity_key" IN (SELECT s.entity_key FROM zsync_staged_rows AS s WHERE NOT EXISTS (SELECT 1 FROM "public"."contacts" AS t WHERE t."id" = s.k));
UPDATE "public"."contacts" AS t SET "email" = s.c0, "spent" = s.c1, "rate" = s.c2, "orders" = s.c3, "vip" = s.c4, "born" = s.c5, "seen" = s.c6, "local" = s.c7 FROM zsync_staged_rows AS s WHERE t."id" = s.k;
INSERT INTO "public"."contacts" ("id", "email", "spent", "rate", "orders", "vip", "born", "seen", "local") SELECT s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7 FROM zsync_staged_rows AS s WHERE NOT EXISTS (SELECT 1 FROM "public"."contacts" AS t WHERE t."id" = s.k);
INSERT INTO "public"."zsync_receipts" VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;

-- members are updated

BEGIN;
LOCK TABLE "public"."zsync_receipts";
SELECT "receipt" FROM "public"."zsync_receipts" WHERE "idempotency_key" = ?;
DROP TABLE IF EXISTS zsync_staged_rows;
CREATE TEMP TABLE zsync_staged_rows AS SELECT "id" AS k, "email" AS c0, "spent" AS c1, "rate" AS c2, "orders" AS c3, "vip" AS c4, "born" AS c5, "seen" AS c6, "local" AS c7, CAST(NULL AS VARCHAR(65535)) AS entity_key, CAST(NULL AS BOOLEAN) AS maybe_there FROM "public"."contacts" LIMIT 0;
INSERT INTO zsync_staged_rows VALUES ('ann','new@x.org','9.99','0.5',3,'true','1999-12-31','2024-02-29T12:00:00.000000Z',NULL,'ann','false'),('bob',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'bob','false');
SELECT 1 FROM "public"."zsync_adopted" WHERE "target_table" = ? AND "sync_id" = ? LIMIT 1;
DELETE FROM "public"."zsync_adopted" WHERE "target_table" = ? AND "sync_id" = ? AND "entity_key" IN (SELECT s.entity_key FROM zsync_staged_rows AS s WHERE NOT EXISTS (SELECT 1 FROM "public"."contacts" AS t WHERE t."id" = s.k));
UPDATE "public"."contacts" AS t SET "email" = s.c0, "spent" = s.c1, "rate" = s.c2, "orders" = s.c3, "vip" = s.c4, "born" = s.c5, "seen" = s.c6, "local" = s.c7 FROM zsync_staged_rows AS s WHERE t."id" = s.k;
INSERT INTO "public"."contacts" ("id", "email", "spent", "rate", "orders", "vip", "born", "seen", "local") SELECT s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7 FROM zsync_staged_rows AS s WHERE NOT EXISTS (SELECT 1 FROM "public"."contacts" AS t WHERE t."id" = s.k);
INSERT INTO "public"."zsync_receipts" VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;

-- members are removed, but for adopted rows

BEGIN;
LOCK TABLE "public"."zsync_receipts";
SELECT "receipt" FROM "public"."zsync_receipts" WHERE "idempotency_key" = ?;
DROP TABLE IF EXISTS zsync_staged_rows;
CREATE TEMP TABLE zsync_staged_rows AS SELECT "id" AS k, CAST(NULL AS VARCHAR(65535)) AS entity_key, CAST(NULL AS BOOLEAN) AS maybe_there FROM "public"."contacts" LIMIT 0;
INSERT INTO zsync_staged_rows VALUES ('ann','ann','false'),('bob','bob','false');
SELECT 1 FROM "public"."zsync_adopted" WHERE "target_table" = ? AND "sync_id" = ? LIMIT 1;
DELETE FROM "public"."contacts" WHERE 1 = 1 AND "id" IN (SELECT s.k FROM zsync_staged_rows AS s WHERE NOT EXISTS (SELECT 1 FROM "public"."zsync_adopted" AS a WHERE a."target_table" = ? AND a."sync_id" = ? AND a."entity_key" = s.entity_key));
DELETE FROM "public"."zsync_adopted" WHERE "target_table" = ? AND "sync_id" = ? AND "entity_key" IN (SELECT s.entity_key FROM zsync_staged_rows AS s WHERE 1 = 1);
INSERT INTO "public"."zsync_receipts" VALUES (?, ?, ?, ?, ?, ?, ?, ?);
COMMIT;
