"""MySQL and MariaDB as servers: transactions, locks, lost answers, rights, limits, and what errors tell."""

from __future__ import annotations

import sys
import threading
import traceback
from contextlib import contextmanager

import polars as pl
import pymysql
import pytest
import sqlalchemy as sa

from zsync_pipelines.destinations.registry import connector, parse_settings
from zsync_pipelines.destinations.sql import mysql_errors
from zsync_pipelines.destinations.sql.mysql_rights import granted
from zsync_pipelines.destinations.sql.mysql_rows import RowTooLargeError, inserts
from zsync_pipelines.destinations.sql.mysql_session import Server
from zsync_pipelines.domain.delivery import Op, Outcome
from zsync_pipelines.errors import (
    ConfigError,
    CredentialsError,
    DestinationError,
    OutcomeUnknownError,
    TargetMissingError,
    TryAgainError,
    UnreachableError,
)
from zsync_pipelines_tests.support.proxy import AFTER, BEFORE, proxy
from zsync_pipelines_tests.support.readers import mysql_connection

pytestmark = pytest.mark.mysql

ABC = {key: {"email": f"{key}@x.org"} for key in ("1", "2", "3")}
VALUE = "pl4nted-value"


@contextmanager
def server_wide(table, **settings):
    """Global variables for the length of a test."""
    before = {name: table.sql(f"SELECT @@GLOBAL.{name}")[0][0] for name in settings}
    try:
        for name, value in settings.items():
            table.sql(f"SET GLOBAL {name} = {value}")
        yield
    finally:
        for name, value in before.items():
            table.sql(f"SET GLOBAL {name} = {value!r}")


@contextmanager
def somebody(table, *grants):
    """A user with these rights only; the table's URL is theirs meanwhile."""
    owner = table.config["url"]
    database = sa.make_url(owner).database
    table.sql("CREATE USER somebody@'127.0.0.1' IDENTIFIED BY 'hunter2'")
    try:
        for grant in grants:
            table.sql(f"GRANT {grant.replace('{db}', f'`{database}`')} TO somebody@'127.0.0.1'")
        mine = sa.make_url(owner).set(username="somebody", password="hunter2")
        table.config["url"] = mine.render_as_string(hide_password=False)
        yield owner
    finally:
        table.config["url"] = owner
        table.sql("DROP USER somebody@'127.0.0.1'")


def last_step(table):
    destination = table.connect()
    *_, last = destination.check()
    destination.close()
    return last.name, last.status.value, last.detail


@pytest.mark.parametrize("name", ["contacts", "zsync_receipts"])
def test_a_table_without_transactions_is_refused(mysql_table, name):
    table = mysql_table
    table.config["table"] = "contacts"
    table.run((Op.ADD, ABC))
    table.sql(f"ALTER TABLE {name} ENGINE=MyISAM")
    with pytest.raises(TargetMissingError, match=f"ALTER TABLE .*`{name}` ENGINE=InnoDB"):
        table.open()
    assert last_step(table)[1] == "failed"


@pytest.mark.parametrize("applied", [True, False])
def test_an_answer_to_a_commit_that_is_lost_on_the_way(mysql_table, applied):
    table = mysql_table
    url = sa.make_url(table.config["url"])
    with proxy((url.host, url.port)) as between:
        table.config["url"] = url.set(port=between.port).render_as_string(hide_password=False)
        destination = table.open()
        batch = table.batch(Op.ADD, ABC)
        between.lose = (b"COMMIT", AFTER if applied else BEFORE)
        with pytest.raises(OutcomeUnknownError, match="zsync_receipts"):
            destination.send(batch)
        assert between.lose is None
        found = destination.lookup(batch)
        assert found == (batch.accept_all() if applied else batch.reject_all("never arrived", permanent=False))
        assert destination.send(batch) == batch.accept_all()
        destination.close()
    table.config["url"] = url.render_as_string(hide_password=False)
    assert len(table.held()) == 3
    assert table.sql("SELECT count(*) FROM zsync_receipts") == [(1,)]


def test_a_server_that_hangs_up_amid_the_rows(mysql_table):
    table = mysql_table
    url = sa.make_url(table.config["url"])
    with proxy((url.host, url.port)) as between:
        table.config["url"] = url.set(port=between.port).render_as_string(hide_password=False)
        destination = table.open()
        batch = table.batch(Op.UPDATE, ABC)
        between.lose = (b"INSERT INTO zsync_staged_rows", AFTER)
        with pytest.raises(TryAgainError, match="nothing was applied"):
            destination.send(batch)
        assert destination.lookup(batch).reason == "never arrived"
        assert destination.send(batch) == batch.accept_all()
        destination.close()
    table.config["url"] = url.render_as_string(hide_password=False)
    assert len(table.held()) == 3


def test_locks_end_with_their_transaction(mysql_table, monkeypatch):
    table = mysql_table
    destination = table.open()
    batch = table.batch(Op.ADD, ABC)
    destination.send(batch)
    other = table.open()
    assert other.send(batch) == batch.accept_all()  # no wait for a lock that the first one still had
    monkeypatch.setattr(other._records, "store", lambda *_: 1 / 0)
    unlucky = table.batch(Op.UPDATE, ABC)
    with pytest.raises(ZeroDivisionError):
        other.send(unlucky)
    assert destination.send(unlucky) == unlucky.accept_all()
    other.close()
    destination.close()


def test_a_locked_row_is_worth_another_try(mysql_table):
    table = mysql_table
    table.run((Op.ADD, ABC))
    destination = table.open()
    destination._db.execute("SET SESSION innodb_lock_wait_timeout = 1")
    with mysql_connection(table.config["url"]) as other, other.cursor() as cursor:
        other.begin()
        cursor.execute(f"UPDATE {table.name} SET email = 'theirs' WHERE id = 2")
        receipt = destination.send(table.batch(Op.UPDATE, ABC))
        assert (receipt.rest, receipt.permanent) == (Outcome.REJECTED, False)
        assert "lock" in receipt.reason
    assert destination.send(table.batch(Op.UPDATE, ABC)).rest is Outcome.ACCEPTED
    destination.close()


def test_a_deadlock_is_worth_another_try(mysql_table):
    table = mysql_table
    table.run((Op.ADD, ABC))
    destination = table.open()
    apply, waiting = destination._applier.apply, threading.Event()

    def slowly(batch):
        destination._db.execute(f"SELECT * FROM {table.name} WHERE id = 1 FOR UPDATE")
        waiting.set()
        return apply(batch)

    destination._applier.apply = slowly
    with mysql_connection(table.config["url"]) as other, other.cursor() as cursor:
        other.begin()
        # Whoever changed less is given up, so the other changes more.
        cursor.execute("CREATE TABLE many AS SELECT seq FROM (SELECT 1 AS seq UNION SELECT 2 UNION SELECT 3) AS x")
        other.begin()
        cursor.execute("INSERT INTO many SELECT a.seq FROM many AS a, many AS b, many AS c, many AS d")
        cursor.execute(f"UPDATE {table.name} SET email = 'theirs' WHERE id = 2")
        receipts = []
        sending = threading.Thread(target=lambda: receipts.append(destination.send(table.batch(Op.UPDATE, ABC))))
        sending.start()
        waiting.wait(10)
        cursor.execute(f"UPDATE {table.name} SET email = 'theirs' WHERE id = 1")
        other.rollback()
        sending.join()
    (receipt,) = receipts
    assert (receipt.rest, receipt.permanent) == (Outcome.REJECTED, False)
    assert "deadlock" in receipt.reason
    destination._applier.apply = apply
    assert destination.send(table.batch(Op.UPDATE, ABC)).rest is Outcome.ACCEPTED
    destination.close()


@pytest.mark.parametrize("made", range(4))
def test_opening_again_after_a_process_died_amid_making_tables(mysql_table, monkeypatch, made):
    table = mysql_table
    destination = table.connect()
    execute, count = destination._db.execute, iter(range(9))

    def dies(sql, parameters=()):
        if sql.startswith("CREATE TABLE") and next(count) == made:
            raise KeyboardInterrupt
        return execute(sql, parameters)

    monkeypatch.setattr(destination._db, "execute", dies)
    if made < 3:
        with pytest.raises(KeyboardInterrupt):
            destination.open(table.shape, "run")
        assert len(table.sql("SHOW TABLES")) == made
    else:
        destination.open(table.shape, "run")
    destination.close()
    table.run((Op.ADD, ABC))
    assert len(table.held()) == 3
    assert len(table.sql("SHOW TABLES")) == 3


def test_rows_and_statements_beyond_what_the_server_takes_at_once(mysql_table):
    table = mysql_table
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email LONGTEXT)")
    with server_wide(table, max_allowed_packet=2**20):
        destination = table.open()
        rows = {str(number): {"email": "é" * 100_000} for number in range(30)}
        for op in (Op.ADD, Op.UPDATE):
            assert destination.send(table.batch(op, rows)).rest is Outcome.ACCEPTED
            receipt = destination.send(table.batch(op, {"99": {"email": "x" * 2**20}}))
            assert (receipt.rest, receipt.permanent) == (Outcome.REJECTED, True)
            assert "max_allowed_packet" in receipt.reason
        destination.close()
    assert len(table.held("id")) == 30


def test_settings_of_the_server_do_not_change_what_happens(mysql_table):
    table = mysql_table
    strange = {"completion_type": "'CHAIN'", "sql_safe_updates": 1, "autocommit": 0, "sql_mode": "'ANSI_QUOTES'"}
    with server_wide(table, **strange):
        table.run((Op.ADD, ABC))
        table.run((Op.UPDATE, {"1": {"email": "new"}}), (Op.REMOVE, {"2": ABC["2"]}))
        # In strict mode all the same.
        table.sql("ALTER TABLE {t} MODIFY email VARCHAR(9)")
        (receipt,) = table.run((Op.UPDATE, {"1": {"email": "much too long"}}))
        assert receipt.rest is Outcome.REJECTED
    assert table.held() == [(1, "new"), (3, "3@x.org")]


def test_a_server_that_demands_primary_keys(mysql_table):
    table = mysql_table
    if not table.sql("SHOW GLOBAL VARIABLES LIKE 'sql_require_primary_key'"):
        pytest.skip("MariaDB has no such setting")
    with server_wide(table, sql_require_primary_key=1):
        table.run((Op.ADD, ABC), (Op.UPDATE, ABC), (Op.REMOVE, {"1": ABC["1"]}))
    assert len(table.held()) == 2


REASONS = [
    ("UNIQUE KEY mail (email)", f"'2', '{VALUE}'", "violates a unique constraint 'mail'"),
    ("CONSTRAINT short CHECK (length(email) < 3)", None, "violates a check constraint 'short'"),
    ("CONSTRAINT parent FOREIGN KEY (email) REFERENCES parents (name)", None, "violates a foreign key 'parent'"),
]


@pytest.mark.parametrize(("constraint", "there", "reason"), REASONS)
def test_a_constraint_is_named_and_no_value(mysql_table, constraint, there, reason):
    table = mysql_table
    table.sql("CREATE TABLE parents (name VARCHAR(40) PRIMARY KEY)")
    table.sql(f"CREATE TABLE {{t}} (id BIGINT PRIMARY KEY, email VARCHAR(40), {constraint})")
    if there:
        table.sql(f"INSERT INTO {{t}} VALUES ({there})")
    destination = table.open()
    for op in (Op.ADD, Op.UPDATE):
        receipt = destination.send(table.batch(op, {"1": {"email": VALUE}}))
        assert receipt.rest is Outcome.REJECTED
        assert receipt.reason.replace(f"'{table.name}.", "'") == reason
    destination.close()


def test_a_trigger_may_say_anything_and_it_is_not_repeated(mysql_table):
    table = mysql_table
    table.sql("CREATE TABLE {t} (id BIGINT PRIMARY KEY, email VARCHAR(40))")
    table.sql(
        "CREATE TRIGGER {t}_says BEFORE INSERT ON {t} FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = "
        f"'{VALUE} is not wanted'"
    )
    (receipt,) = table.run((Op.ADD, ABC))
    assert receipt.reason == "refused by a trigger"


NASTY = "x' for column 'y' at row 1"


@pytest.mark.parametrize("column", ["JSON", "DATE", "INT", "ENUM('a')", "VARCHAR(2)", "INET6"])
def test_values_that_look_like_the_end_of_an_error_are_not_repeated(mysql_table, column):
    table = mysql_table
    try:
        table.sql(f"CREATE TABLE {{t}} (id BIGINT PRIMARY KEY, email {column})")
    except pymysql.Error:
        pytest.skip("MySQL has no such type")
    destination = table.open()
    for op in (Op.ADD, Op.UPDATE):
        receipt = destination.send(table.batch(op, {"1": {"email": NASTY}}))
        assert receipt.rest is Outcome.REJECTED
        assert "email" in receipt.reason
        assert "x'" not in receipt.reason
        assert "'y'" not in receipt.reason
    destination.close()


def error(number, text):
    return pymysql.err.OperationalError(number, text)


def test_errors_by_who_must_act():
    def told(number, text):
        return mysql_errors.explained(error(number, text), "here", lambda text: text)

    assert VALUE not in str(told(1064, f"near '{VALUE}'"))
    assert "1064" in str(told(1064, f"near '{VALUE}'"))
    for number, kind in (
        (1142, CredentialsError),
        (1290, CredentialsError),
        (1146, TargetMissingError),
        (2013, UnreachableError),
        (1927, UnreachableError),
        (1114, DestinationError),
    ):
        assert type(told(number, "why")) is kind
    for number in (1213, 1205, 1020, 3572, 1317, 3101):
        refusal = mysql_errors.refusal(error(number, VALUE), staging=False)
        assert not refusal.permanent
        assert VALUE not in refusal.reason
    assert mysql_errors.refusal(error(2013, "lost"), staging=False) is None
    unknown = mysql_errors.refusal(pymysql.err.DataError(1999, VALUE), staging=False)
    assert unknown.permanent
    assert VALUE not in unknown.reason


def test_the_column_at_fault_is_told_by_the_fields_name_only_where_it_was_staged():
    text = "Data too long for column 'c0' at row 3"
    assert mysql_errors.refusal(error(1406, text), staging=True).told(["email"]).endswith("(column 'email')")
    assert mysql_errors.refusal(error(1406, text), staging=False).told(["email"]).endswith("(column 'c0')")


def test_a_user_without_rights_is_told_which(mysql_table):
    table = mysql_table
    table.config["table"] = "contacts"
    table.sql("CREATE TABLE contacts (id BIGINT PRIMARY KEY, email TEXT)")
    with somebody(table, "SELECT, CREATE TEMPORARY TABLES ON {db}.*") as owner:
        name, status, detail = last_step(table)
        assert (name, status) == ("permission", "failed")
        assert "INSERT, UPDATE, DELETE on table" in detail
        with pytest.raises(CredentialsError, match=r"zsync_receipts.*grant CREATE on schema.*CREATE TABLE"):
            table.open()
        mine, table.config["url"] = table.config["url"], owner
        table.run()
        database = sa.make_url(owner).database
        for ours in ("zsync_receipts", "zsync_adopted"):
            table.sql(f"GRANT INSERT, UPDATE, DELETE ON `{database}`.{ours} TO somebody@'127.0.0.1'")
        table.config["url"] = mine
        assert "INSERT, UPDATE, DELETE on table" in last_step(table)[2]
        destination = table.open()
        with pytest.raises(CredentialsError, match="command denied") as failure:
            destination.send(table.batch(Op.ADD, ABC))
        assert "1@x.org" not in "".join(traceback.format_exception(failure.value))
        destination.close()


def test_temporary_tables_are_a_right_of_their_own(mysql_table):
    table = mysql_table
    with somebody(table, "SELECT, INSERT, UPDATE, DELETE, CREATE ON {db}.*"):
        name, status, detail = last_step(table)
        assert (name, status) == ("permission", "failed")
        assert "temporary tables" in detail


@pytest.mark.parametrize(
    "grants",
    [
        ["ALL ON {db}.*"],
        ["ALL ON *.*"],
        ["SELECT, INSERT ON {db}.*", "UPDATE, DELETE, CREATE, CREATE TEMPORARY TABLES ON {db}.*"],
    ],
)
def test_a_user_with_all_rights_passes(mysql_table, grants):
    table = mysql_table
    with somebody(table, *grants):
        assert last_step(table)[1] == "ok"
        table.run((Op.ADD, ABC))
        assert last_step(table)[1] == "ok"
        table.run((Op.REMOVE, ABC))


def test_rights_that_come_with_a_role(mysql_table):
    table = mysql_table
    database = sa.make_url(table.config["url"]).database
    table.sql("CREATE ROLE writers")
    try:
        table.sql(f"GRANT ALL ON `{database}`.* TO writers")
        with somebody(table, "USAGE ON *.*", "SELECT ON {db}.*"):
            assert last_step(table)[1] == "failed"
        with somebody(table, "writers") as owner:
            mine, table.config["url"] = table.config["url"], owner
            mariadb = "MariaDB" in table.sql("SELECT VERSION()")[0][0]
            table.sql(f"SET DEFAULT ROLE writers {'FOR' if mariadb else 'TO'} somebody@'127.0.0.1'")
            table.config["url"] = mine
            assert last_step(table)[1] == "ok"
            table.run((Op.ADD, ABC))
    finally:
        table.sql("DROP ROLE writers")


@pytest.mark.parametrize(
    ("lines", "right", "schema", "table", "expected"),
    [
        (["GRANT ALL PRIVILEGES ON *.* TO `a`@`%`"], "DELETE", "crm", "t", True),
        (["GRANT USAGE ON *.* TO `a`@`%`"], "SELECT", "crm", "t", False),
        ([r"GRANT SELECT ON `crm\_a`.* TO `a`@`%`"], "SELECT", "crm_a", "t", True),
        ([r"GRANT SELECT ON `crm\_a`.* TO `a`@`%`"], "SELECT", "crmxa", "t", False),
        (["GRANT SELECT ON `crm%`.* TO `a`@`%`"], "SELECT", "crm_live", "t", True),
        (["GRANT SELECT ON `c_m`.* TO `a`@`%`"], "SELECT", "crm", "t", True),
        (["GRANT SELECT, INSERT (`a`, `b`) ON `crm`.`t` TO `a`@`%`"], "INSERT", "crm", "t", True),
        (["GRANT SELECT, INSERT (`a`, `b`) ON `crm`.`t` TO `a`@`%`"], "INSERT", "crm", "u", False),
        (["GRANT SELECT, INSERT (`a`, `delete`) ON `crm`.`t` TO `a`@`%`"], "DELETE", "crm", "t", False),
        (["GRANT CREATE ON `crm`.`t` TO `a`@`%`"], "CREATE", "crm", None, False),
        (["GRANT CREATE ON `crm`.* TO `a`@`%`"], "CREATE", "crm", None, True),
        (["GRANT CREATE TEMPORARY TABLES ON `crm`.* TO `a`@`%`"], "CREATE", "crm", None, False),
        (["GRANT ALL PRIVILEGES ON *.* TO `a`@`%`", "REVOKE CREATE ON `crm`.* FROM `a`@`%`"], "CREATE", "crm", None, 0),
        (["GRANT ALL PRIVILEGES ON *.* TO `a`@`%`", "REVOKE CREATE ON `x`.* FROM `a`@`%`"], "CREATE", "crm", None, 1),
        (["GRANT SELECT ON `we``ird.`.* TO `a`@`%`"], "SELECT", "we`ird.", "t", True),
        (
            ["grant select, create on `crm`.* to `a`@`%`", "revoke create on `x`.* from `a`@`%`"],
            "CREATE",
            "crm",
            None,
            1,
        ),
        (["GRANT `writers`@`%` TO `a`@`%`"], "SELECT", "crm", "t", False),
    ],
)
def test_grants_are_read_as_the_server_means_them(lines, right, schema, table, expected):
    assert granted(lines, right, schema, table) is bool(expected)


def test_a_server_that_takes_no_writes(mysql_table):
    table = mysql_table
    table.run((Op.ADD, ABC))
    with somebody(table, "ALL ON {db}.*") as owner:
        destination = table.open()
        mine, table.config["url"] = table.config["url"], owner
        with server_wide(table, read_only=1):
            table.config["url"] = mine
            with pytest.raises(CredentialsError, match="read-only"):
                destination.send(table.batch(Op.UPDATE, ABC))
            with pytest.raises(CredentialsError, match="read-only"):
                table.open()
            name, status, detail = last_step(table)
            assert (name, status) == ("permission", "failed")
            assert "read-only" in detail
            table.config["url"] = owner
        table.config["url"] = mine
        assert destination.send(table.batch(Op.UPDATE, ABC)).rest is Outcome.ACCEPTED
        destination.close()


def parse(**config):
    return parse_settings("sql", {"table": "contacts", **config})


def target(url, table="contacts"):
    return connector("sql").target(parse(url=url, table=table), "vip")


def test_one_table_is_one_target_however_it_is_named():
    one = target("mysql://me:secret@db.example.org/crm")
    assert one == target("mariadb+pymysql://you@DB.example.org:3306/crm?ssl_disabled=true", "crm.contacts")
    assert one == target("mysql://db.example.org/other", "crm.contacts")
    assert "secret" not in str(one)
    others = [
        target("mysql://db.example.org/crm2"),
        target("mysql://db.example.org:3307/crm"),
        target("mysql://db.example.org/crm", "Contacts"),
        target("mysql://db.example.org/crm?unix_socket=/run/x"),
    ]
    assert one not in others
    assert target("mysql://me:${PASSWORD}@db.example.org/crm") == one


@pytest.mark.parametrize("driver", ["mysql", "mariadb", "mysql+mysqldb", "mariadb+mariadbconnector"])
def test_any_name_of_a_driver_will_do(mysql_table, driver):
    table = mysql_table
    url = sa.make_url(table.config["url"]).set(drivername=driver, query={})  # with TLS where the server has it
    ((socket,),) = table.sql("SELECT @@socket")
    for one in (url, url.set(host=None, port=None).update_query_dict({"unix_socket": socket, "charset": "utf8"})):
        destination = connector("sql")(parse(url=one.render_as_string(hide_password=False)))
        assert next(iter(destination.check())).name == "connect"
        destination.close()
    table.config["url"] = url.render_as_string(hide_password=False)
    table.run((Op.ADD, ABC))


def test_a_driver_that_is_not_installed(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("zsync_pipelines.destinations.sql.mysql")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymysql", None)
    for backend in ("mysql", "mariadb"):
        with pytest.raises(ConfigError, match=r"pip install 'zsync-pipelines\[mysql\]'"):
            connector("sql")(parse(url=f"{backend}://db.invalid/crm"))


def test_an_url_without_a_database_is_refused():
    with pytest.raises(ConfigError, match="names no database"):
        parse(url="mysql://db.example.org")


@pytest.mark.parametrize("option", ["passwd=hunter2", "ssl_verify_cert=hunter2", "nonsense=hunter2"])
def test_options_that_are_not_known_or_not_readable(option):
    destination = connector("sql")(parse(url=f"mysql://db.invalid/crm?{option}"))
    with pytest.raises(ConfigError, match=option.partition("=")[0]) as failure:
        list(destination.check())
    assert "hunter2" not in "".join(traceback.format_exception(failure.value))


def test_a_certificate_that_is_not_there(mysql_table):
    url = sa.make_url(mysql_table.config["url"]).set(query={"ssl_ca": "/nowhere/ca.pem"})
    mysql_table.config["url"] = url.render_as_string(hide_password=False)
    with pytest.raises(UnreachableError):
        mysql_table.open()


def test_passwords_beyond_latin_1(mysql_table):
    table = mysql_table
    with somebody(table, "ALL ON {db}.*") as owner:
        mine, table.config["url"] = table.config["url"], owner
        table.sql("ALTER USER somebody@'127.0.0.1' IDENTIFIED BY 'pässwörd😀@:/'")
        table.config["url"] = sa.make_url(mine).set(password="pässwörd😀@:/").render_as_string(hide_password=False)
        table.run((Op.ADD, ABC))
        table.config["url"] = owner
    assert len(table.held()) == 3


def facts(version, **more):
    return {"version": version, "max_allowed_packet": "1048576", "lower_case_table_names": "0", **more}


def test_what_a_server_says_of_itself():
    assert Server.of(facts("8.0.16")).collation == "utf8mb4_bin"
    assert Server.of(facts("8.4.3-standard")).collation == "utf8mb4_0900_bin"
    assert Server.of(facts("10.11.19-MariaDB-0+deb12u1")).collation == "utf8mb4_nopad_bin"
    assert Server.of(facts("11.8.2-MariaDB")).has_long_epochs
    assert not Server.of(facts("9.7.4-2")).has_long_epochs
    assert [Server.of(facts(v)).too_old for v in ("5.7.44", "8.0.11-TiDB", "10.5.1-MariaDB", "10.6.0-MariaDB")] == [
        *(True, False, True, False)
    ]
    assert Server.of(facts("9.7", lower_case_table_names="1")).folds_tables
    assert Server.of(facts("9.7", log_bin="ON", binlog_format="STATEMENT")).logs_statements
    assert not Server.of(facts("9.7", log_bin="OFF", binlog_format="STATEMENT")).logs_statements


def test_statements_stay_below_the_limit_and_hold_all_rows():
    texts = [("x'é\\" * (n % 97))[: n % 300] for n in range(2_000)]
    rows = pl.DataFrame({"n": range(2_000), "t": texts})
    statements = list(inserts("t", ["n", "t"], rows, 4_000))
    assert all(len(statement) <= 4_000 for statement in statements)
    assert sum(statement.count(b"),(") + 1 for statement in statements) == 2_000
    assert list(inserts("t", ["n", "t"], rows.head(0), 4_000)) == []
    with pytest.raises(RowTooLargeError):
        list(inserts("t", ["t"], pl.DataFrame({"t": ["x" * 4_000]}), 4_000))


def test_transactions_lock_rows_and_no_gaps_between_them(mysql_table):
    table = mysql_table
    destination = table.open()
    ((level,),) = destination._db.execute(
        "SELECT VARIABLE_VALUE FROM information_schema.SESSION_VARIABLES WHERE VARIABLE_NAME = 'tx_isolation'"
        if "MariaDB" in table.sql("SELECT VERSION()")[0][0]
        else "SELECT @@SESSION.transaction_isolation"
    )
    assert level == "READ-COMMITTED"
    destination.close()


def test_tables_whose_names_differ_in_case(mysql_table):
    table = mysql_table
    table.config["table"] = "Contacts"
    table.run((Op.ADD, ABC))
    table.config["table"] = "contacts"  # another table, as the server's names depend on case
    if table.sql("SELECT @@lower_case_table_names") == [(0,)]:
        table.run((Op.ADD, ABC))
        assert {name for (name,) in table.sql("SHOW TABLES")} >= {"Contacts", "contacts"}
