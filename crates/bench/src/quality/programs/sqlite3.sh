# sqlite3: rollback journal, write-ahead log, backup, big sorts, errors.
main() {
  case $1 in
  1) printf '%s\n' 'create table t (a, b);' 'with recursive n(i) as (select 1 union all select i+1 from n where i < 20000) insert into t select i, hex(randomblob(20)) from n;' 'select count(*) from t;' '.backup copy' 'select nonsense;' | sqlite3 x.db > /dev/null 2>&1 || true; exec sqlite3 x.db 'select max(a) from t' ;;
  2) exec sqlite3 x.db 'pragma journal_mode = wal' 'create table t (a primary key, b)' 'begin; insert into t values (1, 2); commit' 'pragma wal_checkpoint(truncate)' 'begin; insert into t values (2, 2); rollback' 'insert or ignore into t values (1, 3)' 'vacuum' 'pragma integrity_check' '.dump' ;;
  3) seq 1 5000 > csv; exec sqlite3 x.db 'create table t (a)' '.import csv t' 'pragma temp_store = file' 'pragma cache_size = 10' 'create index i on t (a)' 'select count(*) from (select a, a || a as b from t order by b)' 'select length(group_concat(a || hex(randomblob(200)))) from t' '.output out' '.mode csv' 'select * from t limit 5' '.output stdout' '.shell true' '.read /dev/null' "attach 'y.db' as y" 'create table y.u as select * from t' 'detach y' ;;
  held) sqlite3 z.db 'create table t (a primary key, b); insert into t values (1, 1)' 'pragma journal_mode = wal' > /dev/null
    sqlite3 z.db 'insert into t values (1, 1)' 2> /dev/null && exit 1; sqlite3 /nonexistent/x 'select 1' 2> /dev/null && exit 1
    exec sqlite3 z.db 'with recursive n(i) as (select 2 union all select i+1 from n where i < 30000) insert into t select i, hex(randomblob(50)) from n' 'pragma wal_checkpoint(full)' 'pragma journal_mode = delete' '.backup save.db' 'delete from t where a % 2' 'vacuum' 'reindex' 'analyze' 'select count(*) from (select b from t order by b desc)' '.dump t' ;;
  esac
}
