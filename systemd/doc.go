// Package systemd is what the programs say to systemd: readiness, reloads,
// their state in a line, the watchdog's life sign, and log records with fields
// for the journal. Where systemd did not start the program all of it does
// nothing. Beside the code stand the unit files, which packages install.
//
// Sources: sd_notify(3), sd-daemon(3), systemd.service(5),
// systemd.journal-fields(7), systemd.exec(5) on credentials.
//
// This package may change.
package systemd
