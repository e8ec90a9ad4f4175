package main

// more is what stands at the end of each page, in roff.
var more = map[string]string{
	"guestmount": `
.SH EXAMPLES
.TP
guestmount debian.qcow2 guest
The guest as it sees itself, in the folder guest; guestunmount guest ends it.
.TP
guestmount \-a disk.img \-m /dev/sda2 \-m /dev/sda1:/boot \-\-ro /mnt
Exactly these filesystems, in these places.
.SH FSTAB
The type guestmount, with the options above behind the fourth field:
.PP
.nf
.RS
/vm/web.qcow2  /mnt/web  guestmount  ro,inspector,noauto,x\-systemd.automount  0  0
/vm/old.vmdk   /mnt/old  guestmount  ro,partitions,nofail,_netdev  0  0
.RE
.fi
.PP
systemd makes mount units of such lines, so that no generator of our own is needed. noauto and x\-systemd.automount mount at
the first look, _netdev waits for the network, and user lets everybody mount.
.SH FILES
.TP
DIR/.guest/
The disks and volumes as files, and what was found as JSON; not listed.
.SH SEE ALSO
.BR guestunmount (1),
.BR guestctl (1),
.BR guestctld (8),
.BR mount (8)
`,
	"guestunmount": `
.SH SEE ALSO
.BR guestmount (1),
.BR guestctl (1)
`,
	"guestctl": `
.SH EXIT STATUS
0 done, 1 something failed, 2 the command line is wrong. grep: 0 found, 1 nothing found, 2 failed; diff: 0 the same, 1 different,
2 failed.
.SH ENVIRONMENT
.TP
.B GUESTCTL_SOCKET
The control socket of guestctld. Without it: /run/guestctl/guestctl.sock for root, $XDG_RUNTIME_DIR/guestctl/guestctl.sock for
others.
.SH EXAMPLES
.TP
guestctl cat debian.qcow2:/etc/os\-release
A file of the guest.
.TP
guestctl tar debian.qcow2:/home >home.tar
A tree of it.
.TP
guestctl filesystems \-\-json disk.img | jq .
What is on a disk, for scripts.
.SH SEE ALSO
.BR guestmount (1),
.BR guestctld (8)
`,
	"guestctld": `
.SH SYSTEMD
guestctld.socket listens on /run/guestctl/guestctl.sock and starts guestctld.service at the first connection:
.PP
.nf
.RS
systemctl enable \-\-now guestctld.socket
curl \-\-unix\-socket /run/guestctl/guestctl.sock http://guest/v1/health
.RE
.fi
.PP
The service tells systemd when it is ready and how many images and mounts there are, and gives its watchdog a life sign as long
as the socket and the mounts answer. Keys of encrypted volumes are credentials whose names begin with luks.: luks.all, luks.sda2,
luks.UUID (LoadCredential= in a drop\-in). Records in the journal have the fields GUESTCTL_IMAGE, GUESTCTL_VOLUME and GUESTCTL_OP:
.PP
.nf
.RS
journalctl \-u guestctld GUESTCTL_OP=damage
.RE
.fi
.SH FILES
.TP
/etc/guestctl/guestctld.toml
Configuration.
.TP
/run/guestctl/guestctl.sock
The control socket, mode 0660, group guestctl. What is beside it, .lock and .mounts, is the daemon's.
.TP
/var/log/guestctl/audit.jsonl
Who mounted, unmounted or detached what by force.
.SH SEE ALSO
.BR guestctld.toml (5),
.BR guestctl (1),
.BR guestmount (1)
`,
	"guestctld.toml": `
.SH SEE ALSO
.BR guestctld (8)
`,
}
