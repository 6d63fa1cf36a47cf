# Namespaces in namespaces: what a recorder that knows a container by one namespace alone loses.
main() {
  case $1 in
  held) exec unshare -Urm -pf --mount-proc sh -c 'mount -t tmpfs none /mnt; cp /etc/passwd /mnt/x; unshare -Urnu -pf sh -c "hostname inner; ls /mnt; echo \$\$; cat /mnt/x > /dev/null"; umount /mnt' ;;
  2) exec unshare -Urm -pf --mount-proc sh -c 'unshare -U -pf sh -c "echo \$\$; cat /etc/hostname > /dev/null"; mount -t tmpfs none /mnt; ls /mnt; cp /etc/hostname /mnt/y; umount /mnt' ;;
  *) exec unshare -Urm -pf sh -c 'mount -t tmpfs none /mnt; echo a > /mnt/b; unshare -Urnu -pf sh -c "hostname inner; cat /mnt/b; ls / > /dev/null; echo \$\$"' ;;
  esac
}
