// Command guestctld holds the images of many virtual machines open, mounts
// them, and answers on a control socket: HTTP/1.1 and JSON, described at
// /v1/openapi.json. guestctl's mount, unmount, list, status, jobs and cancel
// talk to it, and so can curl.
//
// It stays in the foreground and is started by hand or by systemd: it takes
// the socket that systemd passes, tells when it is ready and when it stops and
// how many images and mounts there are, and gives the watchdog a life sign as
// long as its own socket answers and the mounts do, one each time. SIGHUP reads
// the configuration again. SIGTERM and SIGINT end it in order: requests and jobs
// end, workers unmount and close. A second signal does not wait.
//
// Who may do what: package daemon/service.
package main
