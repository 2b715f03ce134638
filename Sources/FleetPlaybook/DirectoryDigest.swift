/// What tells whether two directories hold the same: the SHA-256 of the sorted list of their
/// directories, files with their SHA-256, executable files and links with their targets.
///
/// One shell text, run here when the plan is made and on the hosts: both sides compute the same by
/// construction. It needs `find`, `sha256sum` and `sort`, as in coreutils and busybox.
public enum DirectoryDigest {
    /// Defines the function `fleet_digest`, which prints the digest of the working directory.
    public static let shellFunction = #"""
        fleet_digest() {
            {
                find . -type d -exec printf 'd %s\n' {} +
                find . -type f -exec sha256sum {} +
                find . -type f -perm -100 -exec printf 'x %s\n' {} +
                find . -type l -exec sh -c 'for l; do
                    printf "l %s -> %s\n" "$l" "$(readlink "$l")"
                done' sh {} +
            } | LC_ALL=C sort | sha256sum | cut -c1-64
        }
        """#
}
