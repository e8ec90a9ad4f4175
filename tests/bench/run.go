package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/guestctl/guestctl/tests/images"
)

func replaceAll(command, place string) string { return strings.ReplaceAll(command, "{}", place) }

// A bench collects what the rounds measure.
type bench struct {
	tb     *tb
	rounds int
	suites []suite
	rows   []string // parts of row names that are wanted; none is all
	table  *table
}

// wants says whether a row was asked for.
func (b *bench) wants(name string) bool {
	if len(b.rows) == 0 {
		return true
	}
	for _, r := range b.rows {
		if strings.Contains(name, r) {
			return true
		}
	}
	return false
}

// say shows on stderr how far we are.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// round measures everything once.
func (b *bench) round(n int) {
	for _, u := range b.suites {
		b.suite(n, u)
	}
}

// suite measures everything of one image once.
func (b *bench) suite(n int, u suite) {
	img := u.image(b.tb)
	for _, w := range u.works {
		w.name = u.name + w.name
		if !b.wants(w.name) {
			continue
		}
		for _, s := range u.subjects {
			if !w.takes(s.name) {
				continue
			}
			b.say("round %d of %d: %s, %s", n, b.rounds, w.name, s.name)
			b.work(w, s, img)
		}
	}
	if b.wants(u.name + "mount") {
		for _, s := range u.subjects {
			b.say("round %d of %d: %smount, %s", n, b.rounds, u.name, s.name)
			b.start(u.name, s, img)
		}
	}
	if b.wants(u.name + "memory") {
		for _, s := range u.subjects {
			if s.daemon {
				b.say("round %d of %d: %smemory, %s", n, b.rounds, u.name, s.name)
				b.walk(u.name, s, img)
			}
		}
	}
	for _, d := range u.directs {
		if b.wants(d.name) {
			b.say("round %d of %d: %s", n, b.rounds, d.name)
			b.direct(d)
		}
	}
}

// takes says whether the work is done on the subject.
func (w work) takes(name string) bool {
	if w.subjects == nil {
		return name != "noxattr"
	}
	for _, s := range w.subjects {
		if s == name {
			return true
		}
	}
	return false
}

// work measures one command on one subject in its states.
func (b *bench) work(w work, s subject, img images.Image) {
	warm := false
	for _, state := range w.states {
		warm = warm || state == "warm"
	}
	for _, state := range w.states {
		if state == "warm" {
			continue // measured behind cold
		}
		err := func() error {
			if err := dropCaches(); err != nil {
				return err
			}
			touchTools()
			if state == "imgc" {
				held, err := cacheImage(img.Path)
				if err != nil {
					return err
				}
				if held < 0.90 {
					b.table.note("the page cache held only %.0f%% of the image before %s, imgc, %s", held*100, w.name, s.name)
				}
			}
			m, err := s.mount(img)
			if err != nil {
				return err
			}
			defer func() {
				if err := m.unmount(); err != nil {
					b.table.note("%v", err)
				}
			}()
			v, err := w.run(m.dir)
			if err != nil {
				return err
			}
			b.table.add(w.name, state, w.unit, w.more, w.aim[state], s.name, v)
			if state == "cold" && m.pid != 0 && s.daemon {
				if cpu, err := processorTime(m.pid); err == nil {
					b.table.add(w.name+", daemon's CPU", state, "s", false, 0, s.name, cpu)
				}
			}
			if state == "cold" && warm {
				if v, err = w.run(m.dir); err != nil {
					return err
				}
				b.table.add(w.name, "warm", w.unit, w.more, w.aim["warm"], s.name, v)
			}
			return nil
		}()
		if err != nil {
			b.table.note("%s, %s, %s: %v", w.name, state, s.name, err)
		}
	}
}

// start measures how long mounting takes, cold and with the image cached.
func (b *bench) start(name string, s subject, img images.Image) {
	for _, state := range []string{"cold", "imgc"} {
		if err := dropCaches(); err != nil {
			b.table.note("%v", err)
			return
		}
		touchTools()
		if state == "imgc" {
			if _, err := cacheImage(img.Path); err != nil {
				b.table.note("%v", err)
				return
			}
		}
		m, err := s.mount(img)
		if err != nil {
			b.table.note("mount, %s: %v", s.name, err)
			return
		}
		b.table.add(name+"mount: exec to first stat", state, "s", false, 0, s.name, m.stat)
		b.table.add(name+"mount: ready", state, "s", false, 0, s.name, m.ready)
		if err := m.unmount(); err != nil {
			b.table.note("%v", err)
		}
	}
}

// walk measures the memory of the process that serves the mount, after every file was looked at and some were read.
func (b *bench) walk(name string, s subject, img images.Image) {
	if err := dropCaches(); err != nil {
		b.table.note("%v", err)
		return
	}
	m, err := s.mount(img)
	if err != nil {
		b.table.note("memory, %s: %v", s.name, err)
		return
	}
	defer func() {
		if err := m.unmount(); err != nil {
			b.table.note("%v", err)
		}
	}()
	if m.pid == 0 {
		b.table.note("memory, %s: its process is not known", s.name)
		return
	}
	for _, c := range []struct{ state, command string }{
		{"after find", `find {} -printf '%s\n' >/dev/null`},
		{"after all reads", `ls -lR {} >/dev/null; tar -C {}/srv -cf - small | cat >/dev/null; dd if={}/` + bigFile + ` of=/dev/null bs=1M status=none`},
	} {
		if _, err := timed(replaceAll(c.command, m.dir)); err != nil {
			b.table.note("memory, %s: %v", s.name, err)
			return
		}
		now, peak, err := memory(m.pid)
		if err != nil {
			b.table.note("memory, %s: %v", s.name, err)
			return
		}
		b.table.add(name+"memory: RSS", c.state, "MB", false, 0, s.name, now)
		b.table.add(name+"memory: peak RSS", c.state, "MB", false, 0, s.name, peak)
	}
}

// direct measures guestctl and its counterpart, each from the same cold or cached image.
func (b *bench) direct(d direct) {
	img := d.image(b.tb)
	state := "imgc"
	if d.needsMount {
		state = "cold"
	}
	prepare := func() error {
		if err := dropCaches(); err != nil {
			return err
		}
		touchTools()
		if state == "imgc" {
			if _, err := cacheImage(img.Path); err != nil {
				return err
			}
		}
		return nil
	}
	v, err := 0.0, prepare()
	if err == nil {
		v, err = d.ours(img)
	}
	if err != nil {
		b.table.note("%s: %v", d.name, err)
		return
	}
	b.table.add(d.name, state, "s", false, d.aim, "guestctl", v)
	if err = prepare(); err == nil && !d.needsMount {
		v, err = d.other(img, "")
	} else if err == nil {
		for _, s := range subjects("ext4") {
			if s.name != "kernel" {
				continue
			}
			var m *mounted
			if m, err = s.mount(img); err == nil {
				v, err = d.other(img, m.dir)
				if u := m.unmount(); u != nil {
					b.table.note("%v", u)
				}
			}
		}
	}
	if err != nil {
		b.table.note("%s, %s: %v", d.name, d.otherName, err)
		return
	}
	b.table.add(d.name, state, "s", false, d.aim, d.otherName, v)
}
