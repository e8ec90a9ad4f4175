package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
)

// sqlite3 runs SQL against a database.
func sqlite3(t testing.TB, file, sql string) string {
	t.Helper()
	images.NeedTool(t, "sqlite3")
	cmd := exec.Command("sqlite3", file)
	cmd.Stdin = strings.NewReader(sql)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sqlite3: %v: %s", err, out)
	}
	return string(out)
}

// dump is a table as sqlite3 prints it: hexadecimal values with | between.
func dump(t testing.TB, d *DB, name string) string {
	t.Helper()
	table, err := d.Table(name)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	err = table.Rows(func(row []Value) error {
		for i, v := range row {
			if i > 0 {
				b.WriteByte('|')
			}
			switch v.kind {
			case kindInt:
				fmt.Fprintf(&b, "%X", v.Text())
			case kindFloat:
				fmt.Fprintf(&b, "%X", fmt.Sprint(v.f))
			default:
				fmt.Fprintf(&b, "%X", v.b)
			}
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func openFile(t testing.TB, file string) *DB {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var d *DB
	if log, lerr := os.ReadFile(file + "-wal"); lerr == nil {
		d, err = Open(bytes.NewReader(b), int64(len(b)), bytes.NewReader(log), int64(len(log)))
	} else {
		d, err = Open(bytes.NewReader(b), int64(len(b)), nil, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const fill = `CREATE TABLE t (id INTEGER PRIMARY KEY, n, "some text" TEXT DEFAULT 'a,b', b BLOB, CHECK (n < 1000000000000000000), UNIQUE(id, n));
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < 3000)
INSERT INTO t SELECT x*7, CASE x % 5 WHEN 0 THEN NULL WHEN 1 THEN -x WHEN 2 THEN x*1000000007 WHEN 3 THEN x % 2 ELSE x/4.0+0.1 END, 'text ' || x, randomblob(x % 97 + CASE WHEN x % 500 = 0 THEN 70000 ELSE 0 END) FROM c;
`

const query = `SELECT hex(id), hex(n), hex("some text"), hex(b) FROM t ORDER BY id;`

// TestAgainstSQLite reads what sqlite3 wrote, with every page size.
func TestAgainstSQLite(t *testing.T) {
	for _, size := range []int{512, 1024, 4096, 65536} {
		file := filepath.Join(t.TempDir(), "t.db")
		sqlite3(t, file, fmt.Sprintf("PRAGMA page_size=%d;\n%s", size, fill))
		d := openFile(t, file)
		if got, want := dump(t, d, "T"), sqlite3(t, file, query); got != want {
			t.Errorf("page size %d: %d bytes instead of %d", size, len(got), len(want))
		}
		table, err := d.Table("t")
		if err != nil || strings.Join(table.Columns, ",") != "id,n,some,b" && table.Column("b") != 3 {
			t.Errorf("%+v %v", table, err)
		}
		if _, err := d.Table("none"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v", err)
		}
	}
}

// TestWAL reads what is committed in a log that nobody has checkpointed, and
// not what is behind it.
func TestWAL(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "t.db")
	// The log is deleted when the last connection closes, so that it is copied before.
	out := sqlite3(t, file, "PRAGMA journal_mode=WAL;\nPRAGMA wal_autocheckpoint=0;\n"+fill+"UPDATE t SET n = 42 WHERE id < 100;\n.shell cp "+file+" "+dir+"/copy.db\n.shell cp "+file+"-wal "+dir+"/copy.db-wal\n"+query)
	_, want, _ := strings.Cut(out, "wal\n0\n")
	if got := dump(t, openFile(t, dir+"/copy.db"), "t"); got != want {
		t.Errorf("%d bytes instead of %d", len(got), len(want))
	}
	// The last transaction is torn: the one before stands.
	log, err := os.ReadFile(dir + "/copy.db-wal")
	if err != nil {
		t.Fatal(err)
	}
	log[len(log)-1] ^= 1
	if err := os.WriteFile(dir+"/copy.db-wal", log, 0o600); err != nil {
		t.Fatal(err)
	}
	got := dump(t, openFile(t, dir+"/copy.db"), "t")
	if got == want || strings.Count(got, "\n") != 3000 {
		t.Errorf("torn: %d lines", strings.Count(got, "\n"))
	}
}

// TestRefuse names what is not read.
func TestRefuse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.db")
	sqlite3(t, file, "PRAGMA encoding='UTF-16le';\nCREATE TABLE t(a);")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(bytes.NewReader(b), int64(len(b)), nil, 0); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("%v", err)
	}
	if _, err := Open(strings.NewReader("x"), 1, nil, 0); err == nil {
		t.Error("a file of one byte")
	}
	file = filepath.Join(t.TempDir(), "u.db")
	sqlite3(t, file, "CREATE TABLE t(a PRIMARY KEY) WITHOUT ROWID;")
	if _, err := openFile(t, file).Table("t"); err == nil || !strings.Contains(err.Error(), "WITHOUT ROWID") {
		t.Errorf("%v", err)
	}
}

// TestCycle ends where pages are each other's children.
func TestCycle(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.db")
	sqlite3(t, file, "PRAGMA page_size=512;\n"+fill)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(b)/512; n++ {
		if page := b[n*512:]; page[0] == pageInteriorTable {
			copy(page[offRight:], []byte{0, 0, 0, byte(n + 1)})
		}
	}
	d, err := Open(bytes.NewReader(b), int64(len(b)), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	table, err := d.Table("t")
	if err == nil {
		err = table.Rows(func([]Value) error { return nil })
	}
	if err == nil || !strings.Contains(err.Error(), "ancestor") {
		t.Errorf("%v", err)
	}
}

// FuzzSQLite reads any file and log: every walk ends.
func FuzzSQLite(f *testing.F) {
	dir := f.TempDir()
	file := filepath.Join(dir, "t.db")
	if _, err := exec.LookPath("sqlite3"); err == nil {
		sqlite3(f, file, "PRAGMA page_size=512;\nPRAGMA journal_mode=WAL;\nCREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB);\nINSERT INTO t VALUES(1, zeroblob(3000));\n.shell cp "+file+" "+dir+"/copy.db\n.shell cp "+file+"-wal "+dir+"/copy.db-wal\n")
		for _, name := range []string{file, dir + "/copy.db"} {
			b, _ := os.ReadFile(name)
			log, _ := os.ReadFile(name + "-wal")
			f.Add(b, log)
		}
	}
	f.Fuzz(func(_ *testing.T, b, log []byte) {
		d, err := Open(bytes.NewReader(b), int64(len(b)), bytes.NewReader(log), int64(len(log)))
		if err != nil {
			return
		}
		if table, err := d.Table("t"); err == nil {
			_ = table.Rows(func([]Value) error { return nil })
		}
	})
}
