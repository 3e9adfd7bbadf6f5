-- the first run makes the tables

SET TIME ZONE 'UTC';
SET ANSI_MODE = true;
CREATE TABLE `crm`.`zsync_receipts` (`idempotency_key` STRING NOT NULL PRIMARY KEY, `sync_id` STRING NOT NULL, `run_id` STRING NOT NULL, `number` BIGINT NOT NULL, `op` STRING NOT NULL, `rows` BIGINT NOT NULL, `receipt` STRING NOT NULL, `at` TIMESTAMP_NTZ NOT NULL);
CREATE TABLE `crm`.`zsync_adopted` (`target_table` STRING NOT NULL, `sync_id` STRING NOT NULL, `entity_key` STRING NOT NULL, PRIMARY KEY (`target_table`, `sync_id`, `entity_key`));
DELETE FROM `crm`.`zsync_receipts` WHERE `at` < ?;
CREATE TABLE `crm`.`contacts` (`id` STRING NOT NULL PRIMARY KEY, `email` STRING, `spent` DECIMAL(38, 2), `rate` DOUBLE, `orders` BIGINT, `vip` BOOLEAN, `born` DATE, `seen` TIMESTAMP, `local` TIMESTAMP_NTZ);

-- members are added

SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
CREATE OR REPLACE TABLE `crm`.`zsync_staged_f7f1961a249cd106` (k string, c0 string, c1 decimal(38, 2), c2 double, c3 bigint, c4 boolean, c5 date, c6 timestamp, c7 timestamp_ntz, entity_key STRING, maybe_there BOOLEAN);
INSERT INTO `crm`.`zsync_staged_f7f1961a249cd106` SELECT CAST(v.k AS string), CAST(v.c0 AS string), CAST(v.c1 AS decimal(38, 2)), CAST(v.c2 AS double), CAST(v.c3 AS bigint), CAST(v.c4 AS boolean), CAST(v.c5 AS date), CAST(v.c6 AS timestamp), CAST(v.c7 AS timestamp_ntz), CAST(v.entity_key AS STRING), CAST(v.maybe_there AS BOOLEAN) FROM VALUES ('ann','o\'hara\\@x.org','9.99','0.5','3','true','1999-12-31','2024-02-29T12:00:00.000000Z',NULL,'ann','false') AS v(k, c0, c1, c2, c3, c4, c5, c6, c7, entity_key, maybe_there);
SELECT s.entity_key FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s JOIN `crm`.`contacts` AS t ON t.`id` = s.k WHERE NOT s.maybe_there;
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
MERGE INTO `crm`.`contacts` AS t USING `crm`.`zsync_staged_f7f1961a249cd106` AS s ON t.`id` = s.k WHEN MATCHED THEN UPDATE SET `email` = s.c0, `spent` = s.c1, `rate` = s.c2, `orders` = s.c3, `vip` = s.c4, `born` = s.c5, `seen` = s.c6, `local` = s.c7 WHEN NOT MATCHED THEN INSERT (`id`, `email`, `spent`, `rate`, `orders`, `vip`, `born`, `seen`, `local`) VALUES (s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7);
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- a row of a stranger's is met

SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
CREATE OR REPLACE TABLE `crm`.`zsync_staged_f7f1961a249cd106` (k string, c0 string, c1 decimal(38, 2), c2 double, c3 bigint, c4 boolean, c5 date, c6 timestamp, c7 timestamp_ntz, entity_key STRING, maybe_there BOOLEAN);
INSERT INTO `crm`.`zsync_staged_f7f1961a249cd106` SELECT CAST(v.k AS string), CAST(v.c0 AS string), CAST(v.c1 AS decimal(38, 2)), CAST(v.c2 AS double), CAST(v.c3 AS bigint), CAST(v.c4 AS boolean), CAST(v.c5 AS date), CAST(v.c6 AS timestamp), CAST(v.c7 AS timestamp_ntz), CAST(v.entity_key AS STRING), CAST(v.maybe_there AS BOOLEAN) FROM VALUES ('ann','new@x.org','9.99','0.5','3','true','1999-12-31','2024-02-29T12:00:00.000000Z',NULL,'ann','false'),('bob',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'bob','false') AS v(k, c0, c1, c2, c3, c4, c5, c6, c7, entity_key, maybe_there);
SELECT s.entity_key FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s JOIN `crm`.`contacts` AS t ON t.`id` = s.k WHERE NOT s.maybe_there;
MERGE INTO `crm`.`zsync_staged_f7f1961a249cd106` AS t USING (SELECT s.entity_key AS k FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s JOIN `crm`.`contacts` AS t ON t.`id` = s.k WHERE NOT s.maybe_there) AS x ON t.entity_key = x.k WHEN MATCHED THEN DELETE;
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
MERGE INTO `crm`.`contacts` AS t USING `crm`.`zsync_staged_f7f1961a249cd106` AS s ON t.`id` = s.k WHEN MATCHED THEN UPDATE SET `email` = s.c0, `spent` = s.c1, `rate` = s.c2, `orders` = s.c3, `vip` = s.c4, `born` = s.c5, `seen` = s.c6, `local` = s.c7 WHEN NOT MATCHED THEN INSERT (`id`, `email`, `spent`, `rate`, `orders`, `vip`, `born`, `seen`, `local`) VALUES (s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7);
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- a row of a stranger's is adopted

SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
CREATE OR REPLACE TABLE `crm`.`zsync_staged_f7f1961a249cd106` (k string, c0 string, c1 decimal(38, 2), c2 double, c3 bigint, c4 boolean, c5 date, c6 timestamp, c7 timestamp_ntz, entity_key STRING, maybe_there BOOLEAN);
INSERT INTO `crm`.`zsync_staged_f7f1961a249cd106` SELECT CAST(v.k AS string), CAST(v.c0 AS string), CAST(v.c1 AS decimal(38, 2)), CAST(v.c2 AS double), CAST(v.c3 AS bigint), CAST(v.c4 AS boolean), CAST(v.c5 AS date), CAST(v.c6 AS timestamp), CAST(v.c7 AS timestamp_ntz), CAST(v.entity_key AS STRING), CAST(v.maybe_there AS BOOLEAN) FROM VALUES ('ann','o\'hara\\@x.org','9.99','0.5','3','true','1999-12-31','2024-02-29T12:00:00.000000Z',NULL,'ann','false') AS v(k, c0, c1, c2, c3, c4, c5, c6, c7, entity_key, maybe_there);
INSERT INTO `crm`.`zsync_adopted` SELECT ?, ?, s.entity_key FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s JOIN `crm`.`contacts` AS t ON t.`id` = s.k WHERE NOT s.maybe_there AND NOT EXISTS (SELECT 1 FROM `crm`.`zsync_adopted` AS a WHERE a.`target_table` = ? AND a.`sync_id` = ? AND a.`entity_key` = s.entity_key);
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
MERGE INTO `crm`.`zsync_adopted` AS t USING (SELECT s.entity_key AS k FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s WHERE NOT EXISTS (SELECT 1 FROM `crm`.`contacts` AS t WHERE t.`id` = s.k)) AS x ON t.`entity_key` = x.k AND `target_table` = ? AND `sync_id` = ? WHEN MATCHED THEN DELETE;
MERGE INTO `crm`.`contacts` AS t USING `crm`.`zsync_staged_f7f1961a249cd106` AS s ON t.`id` = s.k WHEN MATCHED THEN UPDATE SET `email` = s.c0, `spent` = s.c1, `rate` = s.c2, `orders` = s.c3, `vip` = s.c4, `born` = s.c5, `seen` = s.c6, `local` = s.c7 WHEN NOT MATCHED THEN INSERT (`id`, `email`, `spent`, `rate`, `orders`, `vip`, `born`, `seen`, `local`) VALUES (s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7);
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- members are updated

SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
CREATE OR REPLACE TABLE `crm`.`zsync_staged_f7f1961a249cd106` (k string, c0 string, c1 decimal(38, 2), c2 double, c3 bigint, c4 boolean, c5 date, c6 timestamp, c7 timestamp_ntz, entity_key STRING, maybe_there BOOLEAN);
INSERT INTO `crm`.`zsync_staged_f7f1961a249cd106` SELECT CAST(v.k AS string), CAST(v.c0 AS string), CAST(v.c1 AS decimal(38, 2)), CAST(v.c2 AS double), CAST(v.c3 AS bigint), CAST(v.c4 AS boolean), CAST(v.c5 AS date), CAST(v.c6 AS timestamp), CAST(v.c7 AS timestamp_ntz), CAST(v.entity_key AS STRING), CAST(v.maybe_there AS BOOLEAN) FROM VALUES ('ann','new@x.org','9.99','0.5','3','true','1999-12-31','2024-02-29T12:00:00.000000Z',NULL,'ann','false'),('bob',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'bob','false') AS v(k, c0, c1, c2, c3, c4, c5, c6, c7, entity_key, maybe_there);
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
MERGE INTO `crm`.`zsync_adopted` AS t USING (SELECT s.entity_key AS k FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s WHERE NOT EXISTS (SELECT 1 FROM `crm`.`contacts` AS t WHERE t.`id` = s.k)) AS x ON t.`entity_key` = x.k AND `target_table` = ? AND `sync_id` = ? WHEN MATCHED THEN DELETE;
MERGE INTO `crm`.`contacts` AS t USING `crm`.`zsync_staged_f7f1961a249cd106` AS s ON t.`id` = s.k WHEN MATCHED THEN UPDATE SET `email` = s.c0, `spent` = s.c1, `rate` = s.c2, `orders` = s.c3, `vip` = s.c4, `born` = s.c5, `seen` = s.c6, `local` = s.c7 WHEN NOT MATCHED THEN INSERT (`id`, `email`, `spent`, `rate`, `orders`, `vip`, `born`, `seen`, `local`) VALUES (s.k, s.c0, s.c1, s.c2, s.c3, s.c4, s.c5, s.c6, s.c7);
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- members are removed, but for adopted rows

SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
SELECT `receipt` FROM `crm`.`zsync_receipts` WHERE `idempotency_key` = ?;
CREATE OR REPLACE TABLE `crm`.`zsync_staged_f7f1961a249cd106` (k string, entity_key STRING, maybe_there BOOLEAN);
INSERT INTO `crm`.`zsync_staged_f7f1961a249cd106` SELECT CAST(v.k AS string), CAST(v.entity_key AS STRING), CAST(v.maybe_there AS BOOLEAN) FROM VALUES ('ann','ann','false'),('bob','bob','false') AS v(k, entity_key, maybe_there);
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);
SELECT 1 FROM `crm`.`zsync_adopted` WHERE `target_table` = ? AND `sync_id` = ? LIMIT 1;
MERGE INTO `crm`.`contacts` AS t USING (SELECT s.k AS k FROM `crm`.`zsync_staged_f7f1961a249cd106` AS s WHERE NOT EXISTS (SELECT 1 FROM `crm`.`zsync_adopted` AS a WHERE a.`target_table` = ? AND a.`sync_id` = ? AND a.`entity_key` = s.entity_key)) AS x ON t.`id` = x.k WHEN MATCHED THEN DELETE;
INSERT INTO `crm`.`zsync_receipts` VALUES (?, ?, ?, ?, ?, ?, ?, ?);
