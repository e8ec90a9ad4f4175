package sqlite

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"strings"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A Table is a table by name.
type Table struct {
	db      *DB
	root    uint32
	Columns []string // names, in the order of a row's values
	rowID   int      // column that is the row's id, -1 where none is
}

// Table finds a table. The error unwraps to fs.ErrNotExist where there is none.
func (d *DB) Table(name string) (*Table, error) {
	schema := &Table{db: d, root: 1, rowID: -1}
	var found *Table
	err := schema.Rows(func(row []Value) error {
		// type, name, tbl_name, rootpage, sql
		if found != nil || len(row) < 5 || row[0].Text() != "table" || !strings.EqualFold(row[1].Text(), name) {
			return nil
		}
		found = &Table{db: d, root: uint32(max(0, min(row[3].Int(), 1<<32-1)))}
		found.Columns, found.rowID = columns(row[4].Text())
		if strings.Contains(strings.ToUpper(row[4].Text()), "WITHOUT ROWID") {
			return ondisk.Unsupported("SQLite table", "%q is one WITHOUT ROWID", name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("the database has no table %q: %w", name, fs.ErrNotExist)
	}
	return found, nil
}

// columns are the names of the columns that a CREATE TABLE statement defines,
// and which of them stands for the row's id: an INTEGER PRIMARY KEY.
func columns(sql string) (names []string, rowID int) {
	rowID = -1
	open := strings.IndexByte(sql, '(')
	if open < 0 {
		return nil, rowID
	}
	for _, def := range split(sql[open+1:]) {
		field := strings.Fields(def)
		if len(field) == 0 {
			continue
		}
		name := strings.Trim(field[0], "\"`[]'")
		switch strings.ToUpper(field[0]) {
		case "CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN":
			continue
		}
		upper := strings.ToUpper(strings.Join(field[1:], " "))
		if rowID < 0 && strings.HasPrefix(upper, "INTEGER") && strings.Contains(upper, "PRIMARY KEY") {
			rowID = len(names)
		}
		if names = append(names, name); len(names) == maxCols {
			break
		}
	}
	return names, rowID
}

// split cuts the body of a definition at the commas that are in no parentheses,
// up to the one that closes it.
func split(s string) []string {
	var parts []string
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth < 0 {
				return append(parts, s[start:i])
			}
		case ',':
			if depth == 0 {
				parts = append(parts, s[start:i])
				start = i + 1
			}
		}
	}
	return append(parts, s[start:])
}

// Column is the place of a column in a row, -1 where there is none.
func (t *Table) Column(name string) int {
	for i, c := range t.Columns {
		if strings.EqualFold(c, name) {
			return i
		}
	}
	return -1
}

// Rows calls do for every row, in the order of their ids. It ends at do's first
// error and answers it.
func (t *Table) Rows(do func(row []Value) error) error {
	w := walk{t: t, do: do, seen: map[uint32]bool{}}
	return w.tree(t.root, 0)
}

// A walk goes through the pages of a table's b-tree.
type walk struct {
	t    *Table
	do   func([]Value) error
	seen map[uint32]bool
}

func (w *walk) tree(n uint32, depth int) error {
	if depth > maxDepth || w.seen[n] {
		return ondisk.Corrupt("SQLite b-tree", int64(n), "the page is its own ancestor or sibling, or too deep")
	}
	w.seen[n] = true
	page, err := w.t.db.page(n)
	if err != nil {
		return err
	}
	start := 0
	if n == 1 {
		start = headerSize
	}
	h := page[start:]
	cells := int(binary.BigEndian.Uint16(h[offCells:]))
	switch h[0] {
	case pageLeafTable:
		return w.cells(page, h[leafHeader:], cells, func(cell []byte) error { return w.row(cell) })
	case pageInteriorTable:
		err := w.cells(page, h[interiorHeader:], cells, func(cell []byte) error {
			if len(cell) < 4 {
				return ondisk.Corrupt("SQLite b-tree", int64(n), "a cell beyond the page's end")
			}
			return w.tree(binary.BigEndian.Uint32(cell), depth+1)
		})
		if err != nil {
			return err
		}
		return w.tree(binary.BigEndian.Uint32(h[offRight:]), depth+1)
	}
	return ondisk.Corrupt("SQLite b-tree", int64(n), "a page of type %#x in a table", h[0])
}

// cells calls do for what starts at each cell pointer.
func (w *walk) cells(page, pointers []byte, n int, do func(cell []byte) error) error {
	if 2*n > len(pointers) {
		return ondisk.Corrupt("SQLite b-tree", 0, "%d cells in a page", n)
	}
	for i := range n {
		at := int(binary.BigEndian.Uint16(pointers[2*i:]))
		if at >= w.t.db.usable {
			return ondisk.Corrupt("SQLite b-tree", int64(at), "a cell beyond the page's end")
		}
		if err := do(page[at:w.t.db.usable]); err != nil {
			return err
		}
	}
	return nil
}

// row decodes a cell of a leaf: payload size, row id, payload.
func (w *walk) row(cell []byte) error {
	size, n := varint(cell)
	id, k := varint(cell[n:])
	if n == 0 || k == 0 {
		return ondisk.Corrupt("SQLite cell", 0, "it ends early")
	}
	payload, err := w.payload(cell[n+k:], size)
	if err != nil {
		return err
	}
	values, err := record(payload)
	if err != nil {
		return err
	}
	// A column that stands for the row's id is stored as NULL.
	if c := w.t.rowID; c >= 0 && c < len(values) && values[c].kind == kindNull {
		values[c] = Value{kind: kindInt, n: int64(id)}
	}
	return w.do(values)
}

// payload puts a payload together: a part in the cell, the rest in overflow
// pages, by section 1.6's formulas for table leaves.
func (w *walk) payload(local []byte, size uint64) ([]byte, error) {
	u := uint64(w.t.db.usable)
	if size > MaxValue {
		return nil, ondisk.Corrupt("SQLite cell", 0, "a payload of %d bytes", size)
	}
	if size <= u-35 {
		if size > uint64(len(local)) {
			return nil, ondisk.Corrupt("SQLite cell", 0, "a payload of %d bytes in %d", size, len(local))
		}
		return local[:size], nil
	}
	least := (u-12)*32/255 - 23
	here := least + (size-least)%(u-4)
	if here > u-35 {
		here = least
	}
	if here+4 > uint64(len(local)) {
		return nil, ondisk.Corrupt("SQLite cell", 0, "a payload of %d bytes, of which %d are not there", size, here)
	}
	b := append([]byte(nil), local[:here]...)
	next := binary.BigEndian.Uint32(local[here:])
	for uint64(len(b)) < size {
		if w.seen[next] {
			return nil, ondisk.Corrupt("SQLite overflow chain", int64(next), "the page is used twice")
		}
		w.seen[next] = true
		page, err := w.t.db.page(next)
		if err != nil {
			return nil, err
		}
		next = binary.BigEndian.Uint32(page)
		b = append(b, page[4:min(u, 4+size-uint64(len(b)))]...)
	}
	return b, nil
}
