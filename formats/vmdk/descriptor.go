package vmdk

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	descriptorName = "VMDK descriptor"
	// maxDescriptor bounds the text, in bytes.
	maxDescriptor = 1 << 20
	// maxExtents bounds the files of one disk: 16 TiB in pieces of 2 GiB is 8192.
	maxExtents = 8192
	noParent   = 0xffffffff // parentCID
)

// descriptor is the text that describes a disk.
type descriptor struct {
	version    string
	createType string
	cid        uint32
	parentCID  uint32
	hasCID     bool
	parent     string // parentFileNameHint
	extents    []extentLine
}

// extentLine is one line of the section "Extent description".
type extentLine struct {
	access  string
	kind    string // "FLAT", "SPARSE", "ZERO", "VMFS" ...
	sectors int64
	name    string
	offset  int64 // sectors, in the file
	at      int64 // bytes, of the line in the text
}

// isDescriptor says whether the bytes, the first of a file, begin a
// descriptor: comments and empty lines, then the version, or the comment that
// VMware's programs begin it with.
func isDescriptor(b []byte) bool {
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if line[0] == '#' {
			if bytes.EqualFold(bytes.TrimSpace(line[1:]), []byte("Disk DescriptorFile")) {
				return true
			}
			continue
		}
		key, value, ok := bytes.Cut(line, []byte("="))
		if !ok || !strings.EqualFold(string(bytes.TrimSpace(key)), "version") {
			return false
		}
		v := strings.Trim(string(bytes.TrimSpace(value)), `"`)
		return v == "1" || v == "2" || v == "3"
	}
	return false
}

// parseDescriptor takes the text apart, which stands at off in the file.
// What it does not know says nothing about where the data is.
func parseDescriptor(text []byte, off int64) (*descriptor, error) {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i] // an embedded one is filled up with zeros
	}
	if len(text) > maxDescriptor {
		return nil, ondisk.Corrupt(descriptorName, off, "longer than %d bytes", maxDescriptor)
	}
	d := &descriptor{parentCID: noParent}
	at := off
	for line := range bytes.Lines(text) {
		if err := d.parseLine(strings.TrimSpace(string(line)), at); err != nil {
			return nil, err
		}
		at += int64(len(line))
	}
	return d, nil
}

func (d *descriptor) parseLine(line string, at int64) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	first, _, _ := strings.Cut(line, " ")
	first, _, _ = strings.Cut(first, "\t")
	switch access := strings.ToUpper(first); access {
	case "RW", "RDONLY", "NOACCESS":
		e, err := parseExtent(line)
		if err != nil {
			return ondisk.Corrupt(descriptorName, at, "%v in the line %.200q", err, line)
		}
		if len(d.extents) == maxExtents {
			return ondisk.Corrupt(descriptorName, at, "more than %d extents", maxExtents)
		}
		e.access, e.at = access, at
		d.extents = append(d.extents, e)
		return nil
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return nil
	}
	value = strings.TrimSpace(value)
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	var err error
	switch strings.ToLower(strings.TrimSpace(key)) {
	case "version":
		d.version = value
	case "createtype":
		d.createType = value
	case "cid":
		d.cid, err = parseCID(value)
		d.hasCID = true
	case "parentcid":
		d.parentCID, err = parseCID(value)
	case "parentfilenamehint":
		d.parent = value
	}
	if err != nil {
		return ondisk.Corrupt(descriptorName, at, "%v in the line %.200q", err, line)
	}
	return nil
}

func parseCID(s string) (uint32, error) {
	v, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("no content ID")
	}
	return uint32(v), nil
}

// parseExtent reads: access, sectors, type, then a name in quotes and an
// offset, where the type has them.
func parseExtent(line string) (e extentLine, err error) {
	head, rest := line, ""
	if i := strings.IndexByte(line, '"'); i >= 0 {
		head, rest = line[:i], line[i+1:]
	}
	fields := strings.Fields(head)
	if len(fields) < 3 {
		return e, fmt.Errorf("no extent")
	}
	if e.sectors, err = strconv.ParseInt(fields[1], 10, 64); err != nil || e.sectors < 0 || e.sectors > math.MaxInt64/sector {
		return e, fmt.Errorf("no number of sectors")
	}
	e.kind = strings.ToUpper(fields[2])
	if rest == "" {
		return e, nil
	}
	name, rest, ok := strings.Cut(rest, `"`)
	if !ok {
		return e, fmt.Errorf("a name without its end")
	}
	e.name = name
	// What follows the offset is a device's identity.
	if fields = strings.Fields(rest); len(fields) > 0 {
		if e.offset, err = strconv.ParseInt(fields[0], 10, 64); err != nil || e.offset < 0 || e.offset > math.MaxInt64/sector {
			return e, fmt.Errorf("no offset")
		}
	}
	return e, nil
}
