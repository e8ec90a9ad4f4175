package main

import (
	"os"
	"strings"

	"github.com/guestctl/guestctl/cmd/internal/args"
)

// A target is a place in a guest, as a person writes it.
type target struct {
	image  string // path on this host
	volume string // "sda2"; "" is the guest's own view
	path   string // in the guest: absolute
}

// String is the target as it was written.
func (t target) String() string {
	if t.volume != "" {
		return t.image + ":" + t.volume + ":" + t.path
	}
	return t.image + ":" + t.path
}

// parseTarget reads IMAGE[:VOLUME][:PATH]. The image ends at the first ":/",
// behind any scheme's "://", whose left side is a file of this host, perhaps with
// a volume's name behind it; where none is, at the first. Without a path it is
// the root.
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
	if i := strings.LastIndexByte(image, ':'); i > 0 && isVolume(image[i+1:]) && exists(image[:i]) {
		return target{image[:i], image[i+1:], path}, true
	}
	return t, false
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
