"""The tables of the inbox, a cache of the log: another version of them means folding everything anew."""

from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = 2

SCHEMA: Final = """
CREATE TABLE run (number INTEGER PRIMARY KEY, seq INTEGER NOT NULL, id TEXT NOT NULL UNIQUE, project BLOB NOT NULL, role TEXT NOT NULL,
                  agent TEXT NOT NULL, command BLOB NOT NULL, purpose TEXT NOT NULL, actor BLOB NOT NULL, policy_digest BLOB NOT NULL,
                  leases BLOB NOT NULL, resumes INTEGER, rebases INTEGER, state TEXT NOT NULL, began_ns INTEGER NOT NULL,
                  changed_ns INTEGER NOT NULL, before INTEGER, after INTEGER, facts BLOB, proposal INTEGER NOT NULL DEFAULT 0);
CREATE INDEX run_by_state ON run (state, number);
CREATE INDEX run_by_project ON run (project, number);
CREATE TABLE run_state (run INTEGER NOT NULL, seq INTEGER NOT NULL, state TEXT NOT NULL, time_ns INTEGER NOT NULL,
                        PRIMARY KEY (run, seq)) WITHOUT ROWID;
CREATE TABLE proposal (number INTEGER PRIMARY KEY, seq INTEGER NOT NULL, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
                       revision INTEGER NOT NULL, kind TEXT NOT NULL, risk TEXT NOT NULL, risk_rank INTEGER NOT NULL, target BLOB NOT NULL,
                       purpose TEXT NOT NULL, actor BLOB NOT NULL, run INTEGER, of INTEGER, time_ns INTEGER NOT NULL,
                       expires_ns INTEGER NOT NULL, before INTEGER NOT NULL, after INTEGER NOT NULL, change_digest BLOB NOT NULL,
                       policy_digest BLOB NOT NULL, files INTEGER NOT NULL, failed_checks INTEGER NOT NULL);
CREATE INDEX proposal_by_risk ON proposal (risk_rank, number);
CREATE TABLE revision (proposal INTEGER NOT NULL, revision INTEGER NOT NULL, seq INTEGER NOT NULL, time_ns INTEGER NOT NULL,
                       actor BLOB NOT NULL, reason TEXT NOT NULL, before INTEGER NOT NULL, after INTEGER NOT NULL,
                       change_digest BLOB NOT NULL, risk TEXT NOT NULL, notes BLOB NOT NULL, checks BLOB NOT NULL, paths BLOB NOT NULL,
                       intact INTEGER NOT NULL, PRIMARY KEY (proposal, revision)) WITHOUT ROWID;
CREATE TABLE changed_path (proposal INTEGER NOT NULL, path BLOB NOT NULL, PRIMARY KEY (proposal, path)) WITHOUT ROWID;
CREATE TABLE proposal_state (proposal INTEGER NOT NULL, seq INTEGER NOT NULL, state TEXT NOT NULL, time_ns INTEGER NOT NULL, apply INTEGER,
                             detail BLOB NOT NULL, PRIMARY KEY (proposal, seq)) WITHOUT ROWID;
CREATE TABLE decision (seq INTEGER PRIMARY KEY, number INTEGER NOT NULL, proposal INTEGER NOT NULL, revision INTEGER NOT NULL,
                       time_ns INTEGER NOT NULL, actor BLOB NOT NULL, verdict TEXT NOT NULL, nonce BLOB UNIQUE, body BLOB NOT NULL);
CREATE INDEX decision_of_proposal ON decision (proposal, seq);
CREATE TABLE policy (digest BLOB PRIMARY KEY, policy BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE approver (key_id TEXT PRIMARY KEY, name TEXT NOT NULL, uid INTEGER NOT NULL, roles BLOB NOT NULL, public_key BLOB NOT NULL,
                       since_seq INTEGER NOT NULL, since_ns INTEGER NOT NULL, signed_by TEXT NOT NULL, revoked_seq INTEGER,
                       revoked_ns INTEGER NOT NULL DEFAULT 0);
CREATE TABLE roles_nonce (nonce BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE last_signed (key_id TEXT PRIMARY KEY, time_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE apply (number INTEGER PRIMARY KEY, seq INTEGER NOT NULL, kind TEXT NOT NULL, of INTEGER, before INTEGER, after INTEGER);
CREATE INDEX apply_of ON apply (of, number);
"""
