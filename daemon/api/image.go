package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// ImageSchema names the shape of Image.
const ImageSchema = "guestctl.image/1"

// Attach says which images to open, and how: one guest.
type Attach struct {
	Images       []ImageSpec `json:"images" minItems:"1" maxItems:"64" doc:"in order: the first disk is sda"`
	View         string      `json:"view,omitempty" enum:"auto,partitions,inspect,explicit" default:"auto" doc:"how the guest is shown as one tree"`
	Mounts       []MountSpec `json:"mounts,omitempty" maxItems:"256" doc:"with the view explicit: what is mounted where"`
	ForceShare   bool        `json:"force_share,omitempty" doc:"no locks: read an image that a virtual machine may be writing"`
	NoRecovery   bool        `json:"norecovery,omitempty" doc:"do not replay journals"`
	Partial      bool        `json:"partial,omitempty" doc:"show volumes of which a disk is missing, with read errors where it is"`
	AllowBacking []string    `json:"allow_backing,omitempty" maxItems:"64" doc:"folders, besides each image's own, below which images may name files"`
	Keys         []Key       `json:"keys,omitempty" maxItems:"64" doc:"of encrypted volumes; the image is then for those who attached it with the same keys, and for those who may write"`
}

// Canonical is a in the one way in which the same is the same: what is left out
// has its default.
func (a Attach) Canonical() Attach {
	if a.View == "" {
		a.View = "auto"
	}
	images := make([]ImageSpec, len(a.Images))
	for i, img := range a.Images {
		if img.Format == "auto" {
			img.Format = ""
		}
		images[i] = img
	}
	a.Images = images
	if a.Mounts != nil {
		mounts := make([]MountSpec, len(a.Mounts))
		for i, m := range a.Mounts {
			if m.Path == "" {
				m.Path = "/"
			}
			mounts[i] = m
		}
		a.Mounts = mounts
	}
	return a
}

// ID is the id that an image attached like this has, wherever it is attached.
// With keys a daemon gives it another, which nobody can work out: an id that
// depended on a passphrase would help to guess it.
func (a Attach) ID() string {
	a.Keys = nil
	text, err := json.Marshal(a.Canonical())
	if err != nil {
		return "" // a struct of strings, numbers and booleans always has a text
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// ImageSpec is one image of the host.
type ImageSpec struct {
	Path       string `json:"path" minLength:"1" maxLength:"4096" doc:"absolute path on the daemon's host"`
	Format     string `json:"format,omitempty" maxLength:"32" doc:"raw, qcow2 ...; its content says it otherwise"`
	SectorSize int    `json:"sector_size,omitempty" enum:"0,512,4096" doc:"0 finds it"`
	Snapshot   string `json:"snapshot,omitempty" maxLength:"1024" doc:"internal snapshot, by name or id"`
}

// MountSpec is one filesystem and its place in the guest's tree.
type MountSpec struct {
	Device  string `json:"device" minLength:"1" maxLength:"256" doc:"sda1, /dev/sda1"`
	Path    string `json:"path,omitempty" maxLength:"4096" doc:"absolute; / where left out"`
	Options string `json:"options,omitempty" maxLength:"1024"`
	FSType  string `json:"fstype,omitempty" maxLength:"32"`
}

// Image is an attached image set.
type Image struct {
	Schema     string      `json:"schema"`                        // ImageSchema
	ID         string      `json:"id"`                            // the same for the same Attach, here and later
	Images     []ImageSpec `json:"images"`                        // as attached
	View       string      `json:"view"`                          //
	State      string      `json:"state" enum:"open,idle,failed"` // idle and failed are opened again at the next use
	References int         `json:"references"`                    // how often it was attached and not detached
	Mounts     int         `json:"mounts"`                        //
	Users      int         `json:"users"`                         // operations that run now
	Summary    string      `json:"summary,omitempty"`             // one line
	Warnings   []string    `json:"warnings"`                      // of the last opening
	Attached   time.Time   `json:"attached"`
	Used       time.Time   `json:"used"`
	Owner      int         `json:"owner"`             // uid of who attached it first
	Worker     *Worker     `json:"worker,omitempty"`  // while it is open
	Failure    string      `json:"failure,omitempty"` // why its worker ended
	Keys       bool        `json:"keys,omitempty"`    // it was attached with keys, and is for those who have them
}

// Worker is the process that serves an image.
type Worker struct {
	PID         int   `json:"pid"`
	MemoryBytes int64 `json:"memory_bytes"` // resident, what it shares with others included
	SharedBytes int64 `json:"shared_bytes"` // of it, what is files: the program
}

// The states of an Image.
const (
	StateOpen   = "open"
	StateIdle   = "idle"
	StateFailed = "failed"
)

// Images is a page of a list.
type Images struct {
	Images []Image `json:"images"`
	Next   string  `json:"next,omitempty" doc:"give it as after for the next page; absent on the last"`
}

// Page asks for a part of a list.
type Page struct {
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"how many"`
	After string `query:"after" maxLength:"64" doc:"next of the page before"`
}

// VolumeList is what the disks of a guest are divided into.
type VolumeList struct {
	Volumes []Volume `json:"volumes"`
}

// Volume is what may carry a filesystem.
type Volume struct {
	Name      string     `json:"name"`
	Disk      string     `json:"disk"`
	Offset    int64      `json:"offset"`
	Size      int64      `json:"size"`
	Partition *Partition `json:"partition,omitempty"`
	Error     string     `json:"error,omitempty"`
}
