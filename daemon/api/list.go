package api

// ListSchema names the shape of List.
const ListSchema = "guestctl.list/1"

// List is what is attached and mounted: `guestctl list --json`.
type List struct {
	Schema string      `json:"schema"` // ListSchema
	Socket string      `json:"socket"` // of the daemon; "" where none answers
	Images []Image     `json:"images"`
	Mounts []Mount     `json:"mounts"`
	Lone   []LoneMount `json:"lone"` // mounts of guestmount, of this user
}

// LoneMount is a mount that a guestmount of its own serves.
type LoneMount struct {
	PID    int      `json:"pid"`
	Dir    string   `json:"dir"`
	Images []string `json:"images"`
	Socket string   `json:"socket,omitempty"` // its control socket
}
