package service

import (
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/files"
)

func (o *run) grep() error {
	q := o.query.(*api.GrepQuery)
	if len(q.Pattern) == 0 {
		return invalid("there is no pattern")
	}
	pattern, err := files.ParsePattern(q.Pattern, files.PatternOptions{Fixed: q.Fixed, Fold: q.IgnoreCase, Word: q.Word, Line: q.Line})
	if err != nil {
		return invalid("%s", err)
	}
	opt := files.GrepOptions{Pattern: pattern, Invert: q.Invert, Recursive: q.Recursive, Text: q.Text, NoBinary: q.SkipBinary,
		Count: q.Count && !q.Names && !q.Others, First: q.Names || q.Others, Max: q.Max, Problem: o.problem}
	for _, p := range q.Include {
		g, err := files.ParseGlob(p, false)
		if err != nil {
			return invalid("%s", err)
		}
		opt.Include = append(opt.Include, g)
	}
	return files.Grep(o.ctx, o.ns, q.Path, opt, func(h *files.Hit) error { return o.matches(h, q, opt) })
}

// matches puts what was found in a file, in the shape of `guestctl grep --json`.
func (o *run) matches(h *files.Hit, q *api.GrepQuery, opt files.GrepOptions) error {
	r := api.Match{Schema: api.MatchSchema, Binary: h.Binary}
	r.Path, r.PathRaw = text(h.Path)
	switch {
	case opt.Count:
		r.Count = &h.Count
		return o.out.put(r)
	case opt.First || h.Binary:
		if (h.Count > 0) == q.Others {
			return nil
		}
		return o.out.put(r)
	}
	for _, l := range h.Lines {
		r.Line, r.Offset = l.Number, &l.Off
		r.Text, r.TextRaw = text(string(l.Text))
		if err := o.out.put(r); err != nil {
			return err
		}
	}
	return nil
}
