package main

import (
	"os"
	"strings"

	"github.com/guestctl/guestctl/cmd/internal/args"
)

// A target is a place in a guest, as a person writes it.
type target struct {
	image    string // path on this host
	snapshot string // of the image; "" is its present state, or --snapshot's
	volume   string // "sda2"; "" is the guest's own view
	path     string // in the guest: absolute
}

// sameGuest says whether two places are in what is opened once.
func (t target) sameGuest(o target) bool {
	return t.image == o.image && t.snapshot == o.snapshot && t.volume == o.volume
}

// String is the target as it was written.
func (t target) String() string {
	s := t.image
	if t.snapshot != "" {
		s += "@" + t.snapshot
	}
	if t.volume != "" {
		s += ":" + t.volume
	}
	return s + ":" + t.path
}

// parseTarget reads IMAGE[@SNAPSHOT][:VOLUME][:PATH]. The image ends at the first
// ":/", behind any scheme's "://", whose left side is a file of this host, perhaps
// with a snapshot's and a volume's name behind it; where none is, at the first.
// Without a path it is the root.
func parseTarget(s string) (target, error) {
	scheme, rest := "", s
	if i := strings.Index(s, "://"); i > 0 && isScheme(s[:i]) {
		scheme, rest = s[:i+len("://")], s[i+len("://"):]
		if scheme == "file://" {
			scheme = ""
			rest = strings.TrimPrefix(rest, "localhost") // RFC 8089, section 2
		}
	}
	if rest == "" {
		return target{}, args.Usage("%q names no image: write IMAGE:/path", s)
	}
	if exists(scheme + rest) {
		return target{image: scheme + rest, path: "/"}, nil
	}
	var first *target
	for i := 0; ; i++ {
		j := strings.Index(rest[i:], ":/")
		if j < 0 {
			break
		}
		i += j
		t, ok := place(scheme+rest[:i], rest[i+1:])
		if ok {
			return t, nil
		}
		if first == nil {
			first = &t
		}
	}
	if t, ok := place(scheme+rest, "/"); ok {
		return t, nil
	}
	if first != nil {
		return *first, nil
	}
	return target{image: scheme + rest, path: "/"}, nil
}

// place is the target of an image, perhaps with a volume's name, and a path; ok
// says that the image exists.
func place(image, path string) (t target, ok bool) {
	t = target{image: image, path: path}
	if image == "" {
		return t, false
	}
	if exists(image) {
		return t, true
	}
	// The last part of a snapshot's name could be a time of day, 12:00:00.
	if i := strings.LastIndexByte(image, ':'); i > 0 && isVolume(image[i+1:]) && !isDigits(image[i+1:]) && t.split(image[:i]) {
		t.volume = image[i+1:]
		return t, true
	}
	return t, t.split(image)
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// split takes the snapshot's name from an image's, whose file must exist. A
// file that has an @ in its name wins.
func (t *target) split(image string) bool {
	if exists(image) {
		t.image, t.snapshot = image, ""
		return true
	}
	for i := 1; i < len(image)-1; i++ {
		if image[i] == '@' && exists(image[:i]) {
			t.image, t.snapshot = image[:i], image[i+1:]
			return true
		}
	}
	return false
}

// isVolume says whether s could be the name of a volume: sda1, vg-root.
func isVolume(s string) bool {
	odd := func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("_.-+~", r))
	}
	return s != "" && strings.IndexFunc(s, odd) < 0
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// isScheme says whether s could be the scheme of a URI, RFC 3986 section 3.1.
func isScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return len(s) > 1
}
