package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// A BackingRef is the file that an image's header names.
type BackingRef struct {
	Path   string // as the image has it: absolute, or relative to the image's folder
	Format string // Format.Name, where the name itself says it; else ""
}

// backingJSON is the part of QEMU's json: names that says where a file is.
// Whatever else such a name has would change what is read.
type backingJSON struct {
	driver, filename string
	file             *backingJSON
}

// ParseBacking understands the ways in which QEMU writes a file's name into an
// image: a plain path, "file:" and a path, or "json:" and an object of a file
// and, perhaps, a format above it. What is no file on this host is an
// *ondisk.UnsupportedError that names the protocol or driver. Whether the file
// may be opened is the business of the caller.
func ParseBacking(name string) (BackingRef, error) {
	if name == "" {
		return BackingRef{}, ondisk.Unsupported("backing file", "an empty name")
	}
	if strings.IndexByte(name, 0) >= 0 {
		return BackingRef{}, ondisk.Unsupported("backing file", "a name with a zero byte (%q)", name)
	}
	if text, ok := strings.CutPrefix(name, "json:"); ok {
		return parseBackingJSON(name, text)
	}
	// As QEMU: what stands before a colon is a protocol, unless it has a slash.
	if i := strings.IndexAny(name, ":/"); i >= 0 && name[i] == ':' {
		path, ok := strings.CutPrefix(name, "file:")
		if !ok {
			return BackingRef{}, ondisk.Unsupported("backing file", "the protocol %q of the name %q", name[:i], name)
		}
		if path == "" {
			return BackingRef{}, ondisk.Unsupported("backing file", "an empty name (%q)", name)
		}
		return BackingRef{Path: path}, nil
	}
	return BackingRef{Path: name}, nil
}

func parseBackingJSON(name, text string) (BackingRef, error) {
	no := func(format string, args ...any) (BackingRef, error) {
		return BackingRef{}, ondisk.Unsupported("backing file", "%s in the name %q", fmt.Sprintf(format, args...), name)
	}
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	if err := d.Decode(&object); err != nil || d.More() {
		return no("JSON that is no object")
	}
	top, err := readBackingJSON(object)
	if err != nil {
		return no("%v", err)
	}
	// A name may have the driver of the file alone, which is then its bytes.
	node, format := top, "raw"
	if top.file != nil {
		node, format = *top.file, top.driver
		if format == "file" || format == "host_device" {
			return no("driver %q with a file of its own", format)
		}
	} else if top.driver == "" {
		format = ""
	}
	switch {
	case node.driver != "" && node.driver != "file" && node.driver != "host_device":
		return no("driver %q", node.driver)
	case node.file != nil:
		return no("more than two drivers")
	case node.filename == "":
		return no("no filename")
	case strings.IndexByte(node.filename, 0) >= 0:
		return no("a zero byte")
	}
	return BackingRef{Path: node.filename, Format: format}, nil
}

// readBackingJSON takes an object apart. QEMU also writes the members of an
// inner object with a dot ("file.filename").
func readBackingJSON(object map[string]any) (backingJSON, error) {
	var b backingJSON
	inner := map[string]any{}
	for key, value := range object {
		if key, ok := strings.CutPrefix(key, "file."); ok {
			inner[key] = value
			continue
		}
		switch key {
		case "driver", "filename":
			s, ok := value.(string)
			if !ok {
				return b, fmt.Errorf("a %q that is no string", key)
			}
			if key == "driver" {
				b.driver = s
			} else {
				b.filename = s
			}
		case "file":
			o, ok := value.(map[string]any)
			if !ok {
				return b, fmt.Errorf("a reference to another node (%q)", fmt.Sprint(value))
			}
			for k, v := range o {
				inner[k] = v
			}
		// How QEMU opens the file, not what is in it.
		case "node-name", "read-only", "auto-read-only", "discard", "detect-zeroes", "cache",
			"aio", "locking", "force-share", "x-check-cache-dropped":
		default:
			return b, fmt.Errorf("the option %q", key)
		}
	}
	if len(inner) > 0 {
		file, err := readBackingJSON(inner)
		if err != nil {
			return b, err
		}
		b.file = &file
	}
	return b, nil
}
