package api

import "time"

// EventSchema names the shape of Event.
const EventSchema = "guestctl.event/1"

// Event is something that happened in the daemon.
type Event struct {
	Schema   string    `json:"schema"` // EventSchema
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
	Kind     EventKind `json:"kind"`
	Image    string    `json:"image,omitempty"`
	Mount    string    `json:"mount,omitempty"`
	Job      string    `json:"job,omitempty"`
	Path     string    `json:"path,omitempty"` // of the host: an image, a mount point
	Volume   string    `json:"volume,omitempty"`
	UID      *int      `json:"uid,omitempty"` // who asked for it
	Detail   string    `json:"detail,omitempty"`
	Bytes    int64     `json:"bytes,omitempty"`
}

// An EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	EventAttached  EventKind = "image.attached"
	EventDetached  EventKind = "image.detached"
	EventOpened    EventKind = "image.opened"    // a worker has it
	EventEvicted   EventKind = "image.evicted"   // nobody used it
	EventFailed    EventKind = "image.failed"    // its worker ended
	EventReplayed  EventKind = "volume.replayed" // a journal, in memory
	EventReadOnly  EventKind = "image.readonly"  // writing was asked for and is not done
	EventDamage    EventKind = "damage"          // met while opening or reading
	EventMounted   EventKind = "mount.made"
	EventUnmounted EventKind = "mount.gone"
	EventMountLost EventKind = "mount.lost" // its worker ended
	EventJob       EventKind = "job.started"
	EventProgress  EventKind = "job.progress"
	EventJobEnd    EventKind = "job.ended"
	EventStarted   EventKind = "daemon.started"
	EventStopping  EventKind = "daemon.stopping"
	EventDropped   EventKind = "events.dropped" // this reader was too slow for some
)

// EventQuery asks for events.
type EventQuery struct {
	Since  uint64 `query:"since" doc:"only events after this sequence number"`
	Follow bool   `query:"follow" doc:"go on with those that come; else end with the last"`
}
