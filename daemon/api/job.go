package api

import "time"

// JobSchema names the shape of Job.
const JobSchema = "guestctl.job/1"

// JobRequest starts long work on an attached image. What it finds is kept for
// a while: records as JSON lines, an archive as tar.
type JobRequest struct {
	Image string `json:"image" minLength:"1" maxLength:"64" doc:"id of an attached image"`
	Kind  string `json:"kind" enum:"checksum,find,grep,list,archive,check,diff"`
	Query string `json:"query,omitempty" maxLength:"65536" doc:"the parameters as in the query of the operation's own address: path=/etc&recursive=true"`
}

// Job is work that goes on without its client.
type Job struct {
	Schema   string     `json:"schema"` // JobSchema
	ID       string     `json:"id"`
	Kind     string     `json:"kind"`
	Image    string     `json:"image"`
	Query    string     `json:"query"`
	Owner    int        `json:"owner"` // uid
	State    string     `json:"state" enum:"running,done,failed,canceled"`
	Started  time.Time  `json:"started"`
	Ended    *time.Time `json:"ended,omitempty"`
	Expires  *time.Time `json:"expires,omitempty" doc:"when the result is forgotten"`
	Bytes    int64      `json:"bytes" doc:"of the guest that were read, where the kind counts them, else of the result"`
	Records  int64      `json:"records" doc:"lines of the result"`
	Problems int64      `json:"problems" doc:"files that could not be read"`
	Size     int64      `json:"size" doc:"of the result so far, in bytes"`
	Error    *Problem   `json:"error,omitempty"`
}

// The states of a Job.
const (
	JobRunning  = "running"
	JobDone     = "done"
	JobFailed   = "failed"
	JobCanceled = "canceled"
)

// Jobs is a page of a list.
type Jobs struct {
	Jobs []Job  `json:"jobs"`
	Next string `json:"next,omitempty"`
}

// ProgressSchema names the shape of Progress.
const ProgressSchema = "guestctl.progress/1"

// Progress stands in a stream where it is asked for.
type Progress struct {
	Schema string `json:"schema"` // ProgressSchema
	Bytes  int64  `json:"bytes"`
}
