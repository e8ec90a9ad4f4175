package ova

import (
	"bytes"
	"context"
	"encoding/xml"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	ovfName = "OVF description"
	// maxEnvelope bounds the description, in bytes.
	maxEnvelope = 4 << 20
	// maxDisks bounds the disks of one machine.
	maxDisks = 256
)

// envelope is what matters of the description. Attributes are matched by
// their local names, whatever the version's namespace is.
type envelope struct {
	Files []struct {
		ID          string `xml:"id,attr"`
		Href        string `xml:"href,attr"`
		Compression string `xml:"compression,attr"`
		ChunkSize   string `xml:"chunkSize,attr"`
	} `xml:"References>File"`
	Disks []struct {
		ID      string `xml:"diskId,attr"`
		FileRef string `xml:"fileRef,attr"`
	} `xml:"DiskSection>Disk"`
	// Version 0.9 of the format has sections of one name.
	Sections []struct {
		Disks []struct {
			ID      string `xml:"diskId,attr"`
			FileRef string `xml:"fileRef,attr"`
		} `xml:"Disk"`
	} `xml:"Section"`
}

// diskFiles are the names of the files that are disks, in order, as the
// description in dev, which stands at off of the file, has them.
func diskFiles(ctx context.Context, dev block.Device, off int64) ([]string, error) {
	if dev.Size() > maxEnvelope {
		return nil, ondisk.Corrupt(ovfName, off, "of %d bytes", dev.Size())
	}
	b := make([]byte, dev.Size())
	if err := block.ReadFull(ctx, dev, b, 0); err != nil {
		return nil, err
	}
	var e envelope
	if err := xml.NewDecoder(bytes.NewReader(b)).Decode(&e); err != nil {
		return nil, ondisk.Corrupt(ovfName, off, "%v", err)
	}
	for _, s := range e.Sections {
		e.Disks = append(e.Disks, s.Disks...)
	}
	byID := make(map[string]int)
	for i, f := range e.Files {
		byID[f.ID] = i
	}
	var names []string
	for _, d := range e.Disks {
		if d.FileRef == "" {
			continue // an empty disk
		}
		i, ok := byID[d.FileRef]
		if !ok {
			return nil, ondisk.Corrupt(ovfName, off, "the disk %q refers to the file %q, which is not there", d.ID, d.FileRef)
		}
		f := e.Files[i]
		switch {
		case f.ChunkSize != "":
			return nil, ondisk.Unsupported("OVF", "the file %q in chunks", f.Href)
		case f.Compression != "" && !strings.EqualFold(f.Compression, "identity"):
			return nil, ondisk.Unsupported("OVF", "the file %q compressed by %q", f.Href, f.Compression)
		case len(names) == maxDisks:
			return nil, ondisk.Unsupported("OVF", "more than %d disks", maxDisks)
		}
		names = append(names, f.Href)
	}
	if len(names) == 0 {
		return nil, ondisk.Corrupt(ovfName, off, "it has no disks")
	}
	return names, nil
}
