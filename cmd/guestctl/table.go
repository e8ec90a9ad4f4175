package main

import (
	"io"
	"strings"
	"unicode/utf8"
)

// printTable prints rows with their columns under each other; numbers, where
// nothing else but - is in a column below the first row, stand to the right.
func printTable(w io.Writer, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	width := make([]int, len(rows[0]))
	right := make([]bool, len(rows[0]))
	for c := range width {
		sizes, others := 0, 0
		for i, row := range rows {
			width[c] = max(width[c], utf8.RuneCountInString(row[c]))
			switch {
			case i == 0 || row[c] == "-":
			case isSize(row[c]):
				sizes++
			default:
				others++
			}
		}
		right[c] = sizes > 0 && others == 0
	}
	for _, row := range rows {
		var b strings.Builder
		for c, cell := range row {
			pad := strings.Repeat(" ", width[c]-utf8.RuneCountInString(cell))
			switch {
			case right[c]:
				b.WriteString(pad + cell)
			case c == len(row)-1:
				b.WriteString(cell)
			default:
				b.WriteString(cell + pad)
			}
			if c < len(row)-1 {
				b.WriteString("  ")
			}
		}
		io.WriteString(w, strings.TrimRight(b.String(), " ")+"\n")
	}
}

// isSize says whether a cell is a number of bytes, 512 or 1.2G, or a percentage.
func isSize(s string) bool {
	s = strings.TrimSuffix(s, "%")
	digits := strings.TrimRight(s, "KMGTPE")
	return digits != "" && len(s)-len(digits) <= 1 && strings.Trim(digits, "0123456789.") == ""
}
