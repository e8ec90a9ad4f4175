# Common to the scripts that make logical volumes with LVM2 and device-mapper.
modprobe -a loop dm-mod dm-mirror dm-raid dm-thin-pool dm-snapshot dm-cache dm-cache-smq dm-writecache raid0 raid1 raid10 raid456
mkdir -p /tmp/etc
cat >/tmp/etc/lvm.conf <<'C'
devices { use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none" md_component_detection=0
	multipath_component_detection=0 fw_raid_component_detection=0 default_data_alignment=0 scan_lvs=0 pv_min_size=512 }
global { use_lvmpolld=0 event_activation=0 thin_check_executable="" cache_check_executable="" use_lvmlockd=0 notify_dbus=0 }
activation { monitoring=0 udev_sync=0 udev_rules=0 }
backup { backup=0 archive=0 }
C
export LVM_SYSTEM_DIR=/tmp/etc LVM_SUPPRESS_FD_WARNINGS=1

# fill LV [BYTES]: writes the pattern with the LV's name.
fill() {
	d=/dev/$vg/$1
	pattern "${2:-$1}" "${3:-$(blockdev --getsize64 "$d")}" | dd of="$d" bs=1M iflag=fullblock conv=fsync status=none
}

# group CASE COUNT SIZE: a volume group over so many disks.
group() {
	n=$2
	s=$3
	set -- "$1" $(for i in $(seq "$n"); do echo "$s"; done)
	disks "$@"
	vg=$c
	pvcreate -q --metadatasize 60k --dataalignment 64k $L >/dev/null
	vgcreate -q -s 64k "$vg" $L >/dev/null
}

# note NAME...: reads logical volumes of the group.
note() {
	for v; do
		volume "$vg" "$(echo "$vg-$v")" "/dev/$vg/$v"
	done
}

# synced NAME: waits until a RAID volume is in sync.
synced() {
	for i in $(seq 100); do
		case "$(lvs --noheadings -o sync_percent "$vg/$1" 2>/dev/null)" in *100*) return 0 ;; esac
		sleep 0.2
	done
	echo "$1 is not in sync"
	exit 1
}

# leave: deactivates the group and detaches its disks.
leave() {
	sync
	vgchange -q -an "$vg" >/dev/null
	detach
	echo "$vg"
}

