package api

import "net/http"

// ProblemSchema names the shape of a Notice in a stream.
const ProblemSchema = "guestctl.problem/1"

// ProblemType is the media type of a Problem, RFC 9457.
const ProblemType = "application/problem+json"

// A Problem is why a request failed: RFC 9457's problem details. Code is what
// a script may rely on; the texts are for people and may change.
type Problem struct {
	Type   string     `json:"type" doc:"always about:blank"`
	Title  string     `json:"title" doc:"the status in words"`
	Status int        `json:"status" doc:"HTTP status"`
	Code   Code       `json:"code" doc:"stable, for programs"`
	Detail string     `json:"detail" doc:"what was tried, on what, and why it failed"`
	Remedy string     `json:"remedy,omitempty" doc:"what to do about it"`
	File   *FileFault `json:"file,omitempty" doc:"the file of the guest that it is about"`
	Errors []Fault    `json:"errors,omitempty" doc:"what is wrong with the request"`
}

// A FileFault is what failed at a file of the guest.
type FileFault struct {
	Op      string `json:"op" doc:"what could not be done: read, list, find"`
	Path    string `json:"path"`
	PathRaw []byte `json:"path_raw,omitempty"`
	Cause   string `json:"cause" doc:"why"`
}

// A Fault is one thing that is wrong with a request.
type Fault struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty" doc:"where: query.path, body.images[0].path"`
}

// A Code says in a stable word why a request failed.
type Code string

// The codes. New ones may come; what they mean stays.
const (
	CodeInvalid          Code = "invalid_request"   // the request does not make sense
	CodeTooLarge         Code = "request_too_large" // its body
	CodeForbidden        Code = "forbidden"         // this user may not
	CodeOutside          Code = "image_not_allowed" // the image is outside the folders this user may open
	CodeNoImage          Code = "no_such_image"     // no attached image has that id
	CodeNoMount          Code = "no_such_mount"
	CodeNoJob            Code = "no_such_job"
	CodeNoPath           Code = "no_such_endpoint"
	CodeNotReady         Code = "not_ready"          // a job has no result yet
	CodeImageMissing     Code = "image_not_found"    // no file of the host has that name
	CodeNoVolume         Code = "no_such_volume"     // the image has none of that name
	CodeNoSnapshot       Code = "no_such_snapshot"   // the image has none of that name
	CodeImageUnreadable  Code = "image_not_readable" // the host does not let the daemon read it
	CodeImageInUse       Code = "image_in_use"       // a virtual machine has it
	CodeImageHeld        Code = "image_busy"         // mounts or others here use it
	CodeBacking          Code = "backing_refused"    // it names a file outside the allowed folders
	CodeUnsupported      Code = "not_supported"
	CodeDamaged          Code = "damaged"
	CodeNoSystem         Code = "no_system"
	CodeSeveralSystems   Code = "several_systems"
	CodeNoFile           Code = "file_not_found" // in the guest
	CodeNotDirectory     Code = "not_a_directory"
	CodeIsDirectory      Code = "is_a_directory"
	CodeNotFile          Code = "not_a_regular_file"
	CodeLoop             Code = "too_many_symlinks"
	CodeNameTooLong      Code = "name_too_long"
	CodeReadFailed       Code = "read_failed"
	CodeMountPoint       Code = "mount_point" // it cannot be mounted there
	CodeMountDenied      Code = "mount_denied"
	CodeMountOption      Code = "mount_option"
	CodeMountBusy        Code = "mount_busy"
	CodeNoFUSE           Code = "no_fuse"
	CodeBusy             Code = "busy"          // too much at once
	CodeWorker           Code = "worker_failed" // the process that serves the image ended
	CodeTimeout          Code = "timeout"
	CodeCanceled         Code = "canceled"
	CodeShutdown         Code = "shutting_down"
	CodeResultTooLarge   Code = "result_too_large"
	CodeInternal         Code = "internal" // our mistake
	CodeMethod           Code = "method_not_allowed"
	CodeNotAcceptable    Code = "not_acceptable"
	CodeMediaType        Code = "unsupported_media_type"
	CodeResultWasDropped Code = "result_expired"
)

// NewProblem makes a Problem.
func NewProblem(status int, code Code, detail, remedy string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Remedy: remedy}
}

// Error is the detail with the remedy.
func (p *Problem) Error() string {
	if p.Remedy == "" {
		return p.Detail
	}
	return p.Detail + "; " + p.Remedy
}

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is the media type that it is sent as.
func (p *Problem) ContentType(string) string { return ProblemType }

// A Notice stands in a stream of records, in the place where it happened: a
// file that could not be read, or why the stream ends before its end.
type Notice struct {
	Schema  string `json:"schema"`         // ProblemSchema
	Kind    string `json:"kind"`           // "problem", "warning", "failure": the stream ends with a failure
	Op      string `json:"op,omitempty"`   // what could not be done: "read", "list"
	Path    string `json:"path,omitempty"` // in the guest
	PathRaw []byte `json:"path_raw,omitempty"`
	Side    int    `json:"side,omitempty"` // of a comparison: 2 is the second place
	Code    Code   `json:"code"`
	Detail  string `json:"detail"`
	Remedy  string `json:"remedy,omitempty"`
}

// The kinds of a Notice.
const (
	KindProblem = "problem"
	KindWarning = "warning"
	KindFailure = "failure"
)
