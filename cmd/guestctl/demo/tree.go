package demo

import (
	"fmt"
	"io/fs"
	"strings"
	"time"
)

func dir(name string) entry           { return entry{name: name, mode: fs.ModeDir | 0o755} }
func text(name, content string) entry { return entry{name: name, mode: 0o644, text: content} }
func link(name, target string) entry {
	return entry{name: name, mode: fs.ModeSymlink | 0o777, text: target}
}
func (e entry) with(m fs.FileMode) entry { e.mode = e.mode.Type() | m; return e }
func (e entry) of(id int) entry          { e.uid, e.gid = id, id; return e }

const osRelease = `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://www.debian.org/"
`

const dpkgStatus = `Package: base-files
Status: install ok installed
Priority: required
Section: admin
Maintainer: GuestCtl demo <demo@example.org>
Architecture: amd64
Version: 12.4+demo1
Description: the files of this demo guest

Package: hello
Status: install ok installed
Priority: optional
Section: devel
Maintainer: GuestCtl demo <demo@example.org>
Architecture: all
Version: 2.10-3
Depends: base-files
Description: a program that says hello
`

const notes = `Things to try in this guest:

  guestctl cat demo.img:/etc/os-release
  guestctl grep -r guest demo.img:/etc
  guestctl tar demo.img:/home | tar tv
`

// rootTree is the guest's root filesystem.
func rootTree() []entry {
	t := []entry{
		dir("boot"), dir("dev"), dir("etc"), dir("home"), dir("media"), dir("mnt"), dir("opt"), dir("proc").with(0o555),
		dir("root").with(0o700), dir("run"), dir("srv"), dir("sys").with(0o555), dir("tmp").with(0o777 | fs.ModeSticky), dir("usr"), dir("var"),
		dir("usr/bin"), dir("usr/lib"), dir("usr/lib64"), dir("usr/sbin"), dir("usr/share"), dir("usr/share/doc"),
		link("bin", "usr/bin"), link("lib", "usr/lib"), link("lib64", "usr/lib64"), link("sbin", "usr/sbin"),

		text("etc/debian_version", "12.8\n"),
		text("etc/fstab", "# What the guest mounts.\nLABEL=demo-root / ext4 errors=remount-ro 0 1\nLABEL=demo-srv /srv ext4 defaults 0 2\nproc /proc proc defaults 0 0\n"),
		text("etc/group", "root:x:0:\nadm:x:4:alice\nshadow:x:42:\nalice:x:1000:\n"),
		text("etc/hostname", "demo-guest\n"),
		text("etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\tdemo-guest\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
		text("etc/issue", "Debian GNU/Linux 12, a demo guest \\n \\l\n"),
		text("etc/machine-id", "0123456789abcdef0123456789abcdef\n").with(0o444),
		text("usr/lib/os-release", osRelease),
		link("etc/os-release", "../usr/lib/os-release"),
		text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n"),
		{name: "etc/shadow", mode: 0o640, text: "root:*:20000:0:99999:7:::\nalice:*:20000:0:99999:7:::\n", gid: 42},
		dir("etc/ssh"),
		text("etc/ssh/sshd_config", "# The demo guest lets nobody in.\nPermitRootLogin no\nPasswordAuthentication no\n"),

		text("usr/bin/hello", "#!/bin/sh\necho 'hello from a guest that never ran'\n").with(0o755),
		link("usr/bin/hallo", "hello"),
		dir("usr/share/doc/base-files"),
		text("usr/share/doc/base-files/README", "This guest was made by `guestctl demo`. It boots nowhere; it is here to be read.\n"),
		dir("usr/share/doc/hello"),
		text("usr/share/doc/hello/copyright", "This file is in the public domain.\n"),
		text("usr/share/doc/hello/changelog", changelog()),

		dir("home/alice").of(1000),
		text("home/alice/notes.txt", notes).of(1000),
		text("home/alice/.profile", "umask 077\n").of(1000),
		dir("home/alice/.ssh").with(0o700).of(1000),
		text("home/alice/.ssh/authorized_keys", "# nobody\n").with(0o600).of(1000),
		text("home/alice/numbers.csv", numbers()).of(1000),
		text("home/alice/empty", "").of(1000),

		dir("var/cache"), dir("var/lib"), dir("var/lib/dpkg"), dir("var/log"), dir("var/tmp").with(0o777 | fs.ModeSticky),
		text("var/lib/dpkg/status", dpkgStatus),
		{name: "var/log/syslog", mode: 0o640, text: syslog(), gid: 4},
	}
	return t
}

// srvTree is the second filesystem, mounted on /srv.
func srvTree() []entry {
	t := []entry{dir("www"), text("www/index.html", "<!DOCTYPE html>\n<title>demo-guest</title>\n<p>Served by a guest that never ran.\n")}
	t = append(t, dir("www/pages"))
	for i := range 20 {
		t = append(t, text(fmt.Sprintf("www/pages/page-%02d.txt", i), strings.Repeat(fmt.Sprintf("page %d of the guest\n", i), 1+i*37)))
	}
	return t
}

func changelog() string {
	var b strings.Builder
	for i := range 120 {
		fmt.Fprintf(&b, "hello (2.%d) stable; urgency=low\n\n  * Said hello once more.\n\n", 120-i)
	}
	return b.String()
}

func numbers() string {
	var b strings.Builder
	b.WriteString("n,square\n")
	for i := range 10000 {
		fmt.Fprintf(&b, "%d,%d\n", i, i*i)
	}
	return b.String()
}

func syslog() string {
	var b strings.Builder
	for i := range 2000 {
		at := made().Add(time.Duration(i) * 13 * time.Second)
		fmt.Fprintf(&b, "%s demo-guest hello[%d]: hello number %d\n", at.Format("Jan _2 15:04:05"), 400+i%7, i)
	}
	return b.String()
}
