-- Tables that Spark makes, each with a feature: a comment names it, and what keeps us from writing (or reading) it.
-- {t} stands for the table, {t}_source for one beside it, {path} for its folder.

-- as it comes
CREATE TABLE {t} USING delta AS SELECT id, concat('row ', id) AS text, CAST(id % 3 AS INT) AS part FROM range(60);
UPDATE {t} SET text = 'set' WHERE id < 4;
DELETE FROM {t} WHERE id = 7;

-- deletion vectors
CREATE TABLE {t} USING delta TBLPROPERTIES ('delta.enableDeletionVectors' = 'true') AS SELECT id, concat('row ', id)
AS text, CAST(id % 3 AS INT) AS part FROM range(60);
DELETE FROM {t} WHERE id % 5 = 0;
UPDATE {t} SET text = 'set' WHERE id % 7 = 1;
DELETE FROM {t} WHERE id > 50;

-- change feed
CREATE TABLE {t} USING delta TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true') AS SELECT id, concat('row ', id) AS
text, CAST(id % 3 AS INT) AS part FROM range(60);
DELETE FROM {t} WHERE id % 5 = 0;
UPDATE {t} SET text = 'set' WHERE id % 7 = 1;
MERGE INTO {t} t USING (SELECT id * 10 AS id FROM range(9)) s ON t.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED
THEN INSERT (id, text, part) VALUES (s.id, 'new', 0);
INSERT OVERWRITE {t} SELECT * FROM {t} WHERE part = 1;

-- change feed and vectors
CREATE TABLE {t} USING delta TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true', 'delta.enableDeletionVectors' =
'true') AS SELECT id, concat('row ', id) AS text, CAST(id % 3 AS INT) AS part FROM range(60);
DELETE FROM {t} WHERE id % 5 = 0;
UPDATE {t} SET text = 'set' WHERE id % 7 = 1;
OPTIMIZE {t};
RESTORE TABLE {t} TO VERSION AS OF 1;

-- partitions
CREATE TABLE {t} (id BIGINT, s STRING, d DATE, at TIMESTAMP, n DECIMAL(10,2), b BOOLEAN) USING delta PARTITIONED BY
(s, d, at, n, b);
INSERT INTO {t} VALUES (1, 'a b', DATE'2024-02-29', TIMESTAMP'2024-02-29 01:02:03.456789', 1.50, true), (2, 'a/b=c%',
NULL, TIMESTAMP'1969-12-31 23:59:59.999999', -0.25, false), (3, 'é\'"', DATE'0001-01-01', NULL, NULL, NULL), (4, NULL,
DATE'9999-12-31', NULL, 0.00, NULL);
UPDATE {t} SET s = 'c' WHERE id = 1;

-- every type
CREATE TABLE {t} (i8 TINYINT, i16 SMALLINT, i32 INT, i64 BIGINT, f FLOAT, d DOUBLE, ok BOOLEAN, s STRING, b BINARY,
day DATE, at TIMESTAMP, wall TIMESTAMP_NTZ, n DECIMAL(38,10), c CHAR(3), v VARCHAR(5), l ARRAY<STRUCT<x: INT, y:
ARRAY<STRING>>>, m MAP<STRING, STRUCT<k: DECIMAL(5,2)>>, o STRUCT<a: STRUCT<b: TIMESTAMP, c: DATE>>) USING delta;
INSERT INTO {t} VALUES (-128Y, -32768S, -2147483648, -9223372036854775808, CAST('NaN' AS FLOAT), DOUBLE('-Infinity'),
true, '', X'', DATE'0001-01-01', TIMESTAMP'0001-01-01 00:00:00', TIMESTAMP_NTZ'9999-12-31 23:59:59.999999',
-9999999999999999999999999999.9999999999, 'a', 'vwxyz', array(), map(), named_struct('a', NULL)), (127Y, 32767S,
2147483647, 9223372036854775807, FLOAT('-0.0'), DOUBLE('NaN'), false, '\u0000é😀', X'00FF', DATE'9999-12-31',
TIMESTAMP'9999-12-31 23:59:59.999999', TIMESTAMP_NTZ'1582-10-10 00:00:00', 0.0000000001, 'é', '', array(NULL,
named_struct('x', 1, 'y', array('a', NULL))), map('k', named_struct('k', 1.25), '', NULL), named_struct('a',
named_struct('b', TIMESTAMP'1969-12-31 23:59:59.999999', 'c', NULL))), (NULL, NULL, NULL, NULL, NULL, NULL, NULL,
NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
DELETE FROM {t} WHERE i8 = 0Y OR i16 = 32767S;

-- INT96
SET spark.sql.parquet.outputTimestampType = INT96;
CREATE TABLE {t} (id INT, at TIMESTAMP, deep ARRAY<STRUCT<at: TIMESTAMP>>) USING delta;
INSERT INTO {t} VALUES (1, TIMESTAMP'0001-01-01 00:00:00', array(named_struct('at', TIMESTAMP'9999-12-31
23:59:59.999999'))), (2, TIMESTAMP'2024-01-01 00:00:00.000001', NULL);
SET spark.sql.parquet.outputTimestampType = TIMESTAMP_MICROS;

-- v2 checkpoints
CREATE TABLE {t} USING delta TBLPROPERTIES ('delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = '2') AS
SELECT id, concat('row ', id) AS text, CAST(id % 3 AS INT) AS part FROM range(30);
INSERT INTO {t} VALUES (100, 'more', 1);
INSERT INTO {t} VALUES (101, 'more', 1);
INSERT INTO {t} VALUES (102, 'more', 1);
INSERT INTO {t} VALUES (103, 'more', 1);
INSERT INTO {t} VALUES (104, 'more', 1);
DELETE FROM {t} WHERE id = 101;

-- checkpoints in parts
SET spark.databricks.delta.checkpoint.partSize = 4;
CREATE TABLE {t} USING delta TBLPROPERTIES ('delta.checkpointInterval' = '3') AS SELECT id, concat('row ', id) AS
text, CAST(id % 3 AS INT) AS part FROM range(30);
INSERT INTO {t} VALUES (100, 'more', 1);
INSERT INTO {t} VALUES (101, 'more', 1);
INSERT INTO {t} VALUES (102, 'more', 1);
INSERT INTO {t} VALUES (103, 'more', 1);
INSERT INTO {t} VALUES (104, 'more', 1);
INSERT INTO {t} VALUES (105, 'more', 1);
INSERT INTO {t} VALUES (106, 'more', 1);
INSERT INTO {t} VALUES (107, 'more', 1);
SET spark.databricks.delta.checkpoint.partSize = 5000000;
DELETE FROM {t} WHERE id = 101;

-- in-commit timestamps
CREATE TABLE {t} USING delta AS SELECT id, concat('row ', id) AS text, CAST(id % 3 AS INT) AS part FROM range(30);
ALTER TABLE {t} SET TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true');
INSERT INTO {t} VALUES (100, 'more', 1);
DELETE FROM {t} WHERE id = 3;

-- constraints
CREATE TABLE {t} (id BIGINT NOT NULL, text STRING, part INT) USING delta;
INSERT INTO {t} SELECT id, concat('row ', id) AS text, CAST(id % 3 AS INT) AS part FROM range(20);
ALTER TABLE {t} ADD CONSTRAINT small CHECK (id < 1000 AND part IN (0, 1, 2));

-- vacuum protocol check
CREATE TABLE {t} USING delta TBLPROPERTIES ('delta.feature.vacuumProtocolCheck' = 'supported') AS SELECT id,
concat('row ', id) AS text, CAST(id % 3 AS INT) AS part FROM range(20);
DELETE FROM {t} WHERE id = 3;

-- append only
CREATE TABLE {t} USING delta TBLPROPERTIES ('delta.appendOnly' = 'true') AS SELECT id, concat('row ', id) AS text,
CAST(id % 3 AS INT) AS part FROM range(20);

-- column mapping by name | not written: columnMapping
CREATE TABLE {t} USING delta AS SELECT id, concat('row ', id) AS text, CAST(id % 3 AS INT) AS part FROM range(30);
ALTER TABLE {t} SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name', 'delta.minReaderVersion' = '2',
'delta.minWriterVersion' = '5');
ALTER TABLE {t} RENAME COLUMN text TO `words, with spaces`;
INSERT INTO {t} VALUES (100, 'after', 1);
ALTER TABLE {t} DROP COLUMN part;
ALTER TABLE {t} ADD COLUMNS (part STRING, s STRUCT<a: INT, b: STRING>);
INSERT INTO {t} VALUES (101, 'later', 'p', named_struct('a', 1, 'b', 'x'));
ALTER TABLE {t} RENAME COLUMN s.b TO c;
UPDATE {t} SET part = 'set' WHERE id < 3;

-- column mapping by id | not written: columnMapping
CREATE TABLE {t} (id BIGINT, text STRING, part INT, s STRUCT<a: INT>) USING delta PARTITIONED BY (part) TBLPROPERTIES
('delta.columnMapping.mode' = 'id', 'delta.enableDeletionVectors' = 'true', 'delta.enableChangeDataFeed' = 'true');
INSERT INTO {t} SELECT *, named_struct('a', CAST(id AS INT)) FROM (SELECT id, concat('row ', id) AS text, CAST(id % 3
AS INT) AS part FROM range(30));
ALTER TABLE {t} RENAME COLUMN id TO number;
DELETE FROM {t} WHERE number % 4 = 0;
UPDATE {t} SET text = 'set' WHERE number = 5;

-- row tracking | not written: rowTracking
CREATE TABLE {t} USING delta TBLPROPERTIES ('delta.enableRowTracking' = 'true') AS SELECT id, concat('row ', id) AS
text, CAST(id % 3 AS INT) AS part FROM range(30);
UPDATE {t} SET text = 'set' WHERE id < 3;
OPTIMIZE {t};

-- liquid clustering | not written: clustering
CREATE TABLE {t} (id BIGINT, text STRING, part INT) USING delta CLUSTER BY (id, part);
INSERT INTO {t} SELECT id, concat('row ', id) AS text, CAST(id % 3 AS INT) AS part FROM range(30);
INSERT INTO {t} SELECT id, concat('row ', id) AS text, CAST(id % 3 AS INT) AS part FROM range(20);
OPTIMIZE {t};

-- type widening | not written: typeWidening
CREATE TABLE {t} (a TINYINT, b INT, c FLOAT, d DECIMAL(5,2), e INT, f DATE, s STRUCT<x: SMALLINT>) USING delta
TBLPROPERTIES ('delta.enableTypeWidening' = 'true', 'delta.feature.timestampNtz' = 'supported');
INSERT INTO {t} VALUES (1Y, 2, 0.1, 1.25, 4, DATE'2024-02-29', named_struct('x', 7S));
ALTER TABLE {t} ALTER COLUMN a TYPE INT, b TYPE BIGINT, c TYPE DOUBLE, d TYPE DECIMAL(20,4), e TYPE DOUBLE, f TYPE
TIMESTAMP_NTZ, s.x TYPE BIGINT;
INSERT INTO {t} VALUES (2147483647, 9223372036854775807, 0.1, 1234567890123456.7891, 0.5, TIMESTAMP_NTZ'2024-02-29
12:00:00', named_struct('x', 9223372036854775807));
DELETE FROM {t} WHERE a = 5;

-- column defaults | not written: allowColumnDefaults
CREATE TABLE {t} (id BIGINT, text STRING DEFAULT 'none') USING delta TBLPROPERTIES
('delta.feature.allowColumnDefaults' = 'supported');
INSERT INTO {t} (id) VALUES (1), (2);

-- Iceberg compatibility | not written: columnMapping
CREATE TABLE {t} (id BIGINT, text STRING) USING delta TBLPROPERTIES ('delta.columnMapping.mode' = 'name',
'delta.enableIcebergCompatV2' = 'true');
INSERT INTO {t} VALUES (1, 'a');

-- variant | not read: variantType
CREATE TABLE {t} USING delta AS SELECT id, parse_json('{"a": 1}') AS v FROM range(2);

-- shallow clone | not read: paths outside the table
CREATE TABLE {t}_source USING delta AS SELECT id, concat('row ', id) AS text, CAST(id % 3 AS INT) AS part FROM range(3);
CREATE TABLE {t} SHALLOW CLONE {t}_source;
