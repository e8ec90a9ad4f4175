# Logical volumes of RAID 0, 4 and 5.
group parity 5 2M
for t in raid0 raid0_meta raid4 raid5_la raid5_ra raid5_ls raid5_rs raid5_n; do
	lvcreate -qq -y -Wn --type $t -i 3 -I 8k -l 3 -n $t parity >/dev/null
	fill $t
	case $t in raid0*) ;; *) synced $t ;; esac
	note $t
done
leave

finish
