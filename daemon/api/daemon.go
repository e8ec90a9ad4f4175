package api

import "time"

// Version is what the daemon is.
type Version struct {
	Version string   `json:"version"` // of the program
	API     []string `json:"api"`     // "v1"
	Go      string   `json:"go"`
	Formats []string `json:"formats"` // of images
	Drivers []string `json:"drivers"` // of filesystems
}

// HealthSchema names the shape of Health.
const HealthSchema = "guestctl.health/1"

// Health says how the daemon is.
type Health struct {
	Schema  string         `json:"schema"` // HealthSchema
	Status  string         `json:"status" enum:"ok,stopping"`
	PID     int            `json:"pid"`
	Started time.Time      `json:"started"`
	Images  map[string]int `json:"images"` // by state
	Mounts  int            `json:"mounts"`
	Jobs    int            `json:"jobs"` // running
	Workers int            `json:"workers"`
	Memory  int64          `json:"memory_bytes"` // of the broker, resident
	Sandbox *Sandbox       `json:"sandbox,omitempty" doc:"of the workers, as one has found it"`
	Access  string         `json:"access" enum:"read,write" doc:"what the one who asks may do"`
}
