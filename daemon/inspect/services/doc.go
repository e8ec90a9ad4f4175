// Package services lists what a guest starts by itself.
//
//	systemd   units of the types service, socket, timer and path: enabled where /etc/systemd/system has a link to
//	          one in a folder of wants or requires, or another name for it; masked where it is a link to /dev/null or
//	          empty; disabled where it has a section Install; else static. indirect where it only names others
//	          (Also) or is a template with an enabled instance that is not its default, which stands beside it. Aliases are left out.
//	sysvinit  the scripts of /etc/init.d, with the runlevels that start them; where systemd is there, those that no
//	          unit stands for
//	openrc    the scripts in a runlevel, and those in none
//	rc        the variables NAME_enable of rc.conf(5)
//	windows   the keys of Services that can be started, drivers included
//
// What generators make when a systemd starts, from fstab or the kernel's command
// line, is not there. Presets have had their effect when packages were installed;
// they are not looked at.
//
// # Hostile guests
//
// A list has at most maxServices entries, and package look bounds what is read.
//
// This package may change.
package services
