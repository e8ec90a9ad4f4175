package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// A row is one work in one state.
type row struct {
	Name   string               `json:"name"`
	State  string               `json:"state"`
	Unit   string               `json:"unit"`
	More   bool                 `json:"more_is_better"`
	Aim    float64              `json:"aim_ratio,omitempty"` // of ours to the reference
	Values map[string][]float64 `json:"values"`              // by subject, in the order of the rounds
	Median map[string]float64   `json:"median"`
	Ratio  map[string]float64   `json:"ratio"` // of each to the reference's median; per round, then the median of those
	order  []string
}

// A table is the answer.
type table struct {
	Schema string   `json:"schema"`
	Kernel string   `json:"kernel"`
	CPUs   int      `json:"cpus"`
	Rounds int      `json:"rounds"`
	Images []string `json:"images"`
	Rows   []*row   `json:"rows"`
	Notes  []string `json:"notes"`
}

func (t *table) note(format string, args ...any) {
	n := fmt.Sprintf(format, args...)
	fmt.Fprintln(os.Stderr, n)
	if !slices.Contains(t.Notes, n) {
		t.Notes = append(t.Notes, n)
	}
}

// add keeps one measurement.
func (t *table) add(name, state, unit string, more bool, aim float64, subject string, v float64) {
	i := slices.IndexFunc(t.Rows, func(r *row) bool { return r.Name == name && r.State == state })
	if i < 0 {
		i = len(t.Rows)
		t.Rows = append(t.Rows, &row{Name: name, State: state, Unit: unit, More: more, Aim: aim, Values: map[string][]float64{}})
	}
	r := t.Rows[i]
	if _, ok := r.Values[subject]; !ok {
		r.order = append(r.order, subject)
	}
	r.Values[subject] = append(r.Values[subject], v)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 1 {
		return v[n/2]
	} else if n > 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return 0
}

// reference is what the others are compared with: the kernel's default loop mount, or the other tool of a direct row.
func (r *row) reference() string {
	for _, s := range r.order {
		if s == "kernel" {
			return s
		}
	}
	for _, s := range r.order {
		if s != "guestctl" && s != "noxattr" && s != "fuse2fs" {
			return s
		}
	}
	return ""
}

// finish computes medians and ratios.
func (t *table) finish() {
	for _, r := range t.Rows {
		r.Median, r.Ratio = map[string]float64{}, map[string]float64{}
		for s, v := range r.Values {
			r.Median[s] = median(v)
		}
		ref := r.Values[r.reference()]
		for s, v := range r.Values {
			var ratios []float64
			for i := range min(len(v), len(ref)) {
				if ref[i] > 0 {
					ratios = append(ratios, v[i]/ref[i])
				}
			}
			if len(ratios) > 0 {
				r.Ratio[s] = median(ratios)
			}
		}
	}
}

// text prints the table for people: each subject's median and, in brackets, its ratio to the reference.
func (t *table) text(w io.Writer) error {
	fmt.Fprintf(w, "Linux %s, %d processors, medians of %d rounds; in brackets the ratio to the kernel's default loop mount, or to ntfs-3g or the other tool.\n\n", t.Kernel, t.CPUs, t.Rounds)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "work\tstate\tunit\tguestctl\taim\t\tothers")
	for _, r := range t.Rows {
		cell := func(s string) string {
			v, ok := r.Median[s]
			if !ok {
				return "-"
			}
			c := number(v)
			if ratio, ok := r.Ratio[s]; ok && s != r.reference() {
				c += fmt.Sprintf(" (%.2f)", ratio)
			}
			return c
		}
		aim, met := "", ""
		if r.Aim != 0 {
			aim = fmt.Sprintf("%.2f", r.Aim)
			best, ok := r.Ratio["guestctl"]
			if n, has := r.Ratio["noxattr"]; has {
				best = n // what the aim is for, where it was measured
			}
			switch {
			case !ok:
			case r.More && best >= r.Aim, !r.More && best <= r.Aim:
				met = "met"
			default:
				met = "missed"
			}
		}
		var others []string
		for _, s := range r.order {
			if s != "guestctl" {
				others = append(others, s+" "+cell(s))
			}
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.State, r.Unit, cell("guestctl"), aim, met, strings.Join(others, "  "))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for i, n := range t.Notes {
		if i == 0 {
			fmt.Fprintln(w, "\nNotes:")
		}
		fmt.Fprintln(w, "-", n)
	}
	return nil
}

// number prints three significant digits or so.
func number(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1:
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.4f", v)
}

func (t *table) json(path string) error {
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
