# Mirrored logical volumes.
group mirrors 3 1M
lvcreate -qq -y -Wn --type mirror -m1 --mirrorlog core -l 3 -n mir mirrors >/dev/null
lvcreate -qq -y -Wn --type mirror -m1 --mirrorlog disk -R 64k -l 3 -n mirlog mirrors >/dev/null
lvcreate -qq -y -Wn --type raid1 -m1 -l 3 -n r1 mirrors >/dev/null
fill mir; fill mirlog; fill r1
synced mir; synced mirlog; synced r1
note mir mirlog r1
leave

group ten 4 1M
lvcreate -qq -y -Wn --type raid10 -i 2 -m 1 -I 8k -l 4 -n r10 ten >/dev/null
fill r10; synced r10; note r10
leave

# A leg that was lost, with old contents.
group lostleg 2 1M
lvcreate -qq -y -Wn --type raid1 -m1 -l 3 -n r1 lostleg >/dev/null
fill r1 old; synced r1
vgchange -q -an lostleg >/dev/null
first=$(echo $L | cut -d' ' -f1)
losetup -d "$first"
vgchange -q -ay --activationmode degraded lostleg >/dev/null 2>&1
fill r1
note r1
vgchange -q -an lostleg >/dev/null 2>&1
L=$(echo $L | cut -d' ' -f2)
detach
echo lostleg

finish
