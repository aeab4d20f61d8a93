-- A store as programs before the first migration left it (sqlite3's .dump): one run, its sketch, its sizes.
BEGIN TRANSACTION;
CREATE TABLE budget_spent (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	dataset TEXT NOT NULL,
	partner TEXT NOT NULL,
	job TEXT NOT NULL,
	at FLOAT NOT NULL,
	epsilon TEXT,
	spent BOOLEAN NOT NULL
);
INSERT INTO "budget_spent" VALUES(1,'cards','shop','first',1763800000.5,'1/2',1);
CREATE TABLE jobs_seen (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	dataset TEXT NOT NULL,
	partner TEXT NOT NULL,
	job TEXT NOT NULL,
	kind TEXT NOT NULL,
	at FLOAT NOT NULL,
	own_persons INTEGER NOT NULL,
	peer_persons INTEGER NOT NULL
);
INSERT INTO "jobs_seen" VALUES(1,'cards','shop','first','lift',1763800000.5,1200,3400);
CREATE TABLE ledger_sketch (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	dataset TEXT NOT NULL,
	partner TEXT NOT NULL,
	job TEXT NOT NULL,
	at FLOAT NOT NULL,
	persons INTEGER NOT NULL,
	file TEXT NOT NULL,
	digest TEXT NOT NULL,
	released BOOLEAN NOT NULL,
	UNIQUE (file)
);
INSERT INTO "ledger_sketch" VALUES(1,'cards','shop','first',1763800000.5,1200,'0f.tags','abababababababababababababababababababababababababababababababab',1);
CREATE TABLE schema_version (
	version INTEGER NOT NULL
);
INSERT INTO "schema_version" VALUES(1);
CREATE INDEX budget_of ON budget_spent (dataset, partner);
CREATE INDEX sketches_of ON ledger_sketch (partner);
CREATE INDEX jobs_of ON jobs_seen (dataset, partner);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('budget_spent',2);
INSERT INTO "sqlite_sequence" VALUES('ledger_sketch',1);
INSERT INTO "sqlite_sequence" VALUES('jobs_seen',1);
COMMIT;
