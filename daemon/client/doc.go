// Package client talks to guestctld's control socket: HTTP and JSON on a unix
// socket. It is what guestctl uses, and it is stable: what is here stays as
// the API v1 does.
//
// A Client is safe for any number of goroutines. An error that the daemon
// answered is an *api.Problem (errors.As), whose Code is for programs. Where
// no daemon answers it is an *UnreachableError.
//
// # Streams
//
// What can be large comes record by record: the functions with each call it for
// every record, in order, on the caller's goroutine; its error ends the stream
// and is returned. What the daemon could not read of a guest is given to the
// notice function in the place where it happened; where that is nil it is
// passed over. A stream that breaks off is an error, never a short answer.
package client
