# Logical volumes of RAID 6.
group parity2 5 2M
for t in raid6_zr raid6_nr raid6_nc raid6_ls_6 raid6_rs_6 raid6_la_6 raid6_ra_6 raid6_n_6; do
	lvcreate -qq -y -Wn --type $t -i 3 -I 8k -l 3 -n $t parity2 >/dev/null
	fill $t
	synced $t
	note $t
done
leave

finish
