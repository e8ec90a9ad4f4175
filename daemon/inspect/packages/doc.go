// Package packages lists what is installed in a guest, from the databases of its
// package managers, each of which is one file here.
//
// A manager is a function that reads its own database, where there is one; the
// kind of system is not asked, since a Debian may have rpm's database, too. All
// are asked at the same time.
//
//	dpkg      /var/lib/dpkg/status, status.d (images without dpkg)
//	rpm       Packages, Packages.db or rpmdb.sqlite in /var/lib/rpm, /usr/lib/sysimage/rpm, /usr/share/rpm
//	apk       /lib/apk/db/installed, /usr/lib/apk/db/installed
//	pacman    /var/lib/pacman/local/*/desc
//	portage   /var/db/pkg/*/*/
//	xbps      /var/db/xbps/pkgdb-0.38.plist
//	pkg       /var/db/pkg/local.sqlite of FreeBSD
//	flatpak   /var/lib/flatpak/{app,runtime}
//	snap      /var/lib/snapd/state.json
//	pypi      *.dist-info and *.egg-info of site- and dist-packages
//	npm       package.json in node_modules
//	gem       specifications of RubyGems
//	golang, cargo   what programs say of themselves (see binary.go)
//
// The last five are languages'; they are asked with Options.Languages.
//
// # Versions
//
// Version has neither epoch nor release, as in libguestfs's applications2;
// FullVersion is the manager's own writing. The version of a snap stands in its
// squashfs, which is not opened: its revision is given instead.
//
// # Hostile guests
//
// Package look bounds what is read. A system has at most maxPackages packages, a
// database that is text at most maxDatabase bytes. What is damaged is a warning,
// and the rest is listed.
//
// This package may change.
package packages
