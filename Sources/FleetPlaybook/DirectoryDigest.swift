internal import FleetTransport

/// What tells whether two directories hold the same: the SHA-256 of the sorted list of their
/// directories, files with their SHA-256, executable files and links with their targets.
///
/// One shell text, run here when the plan is made and on the hosts: both sides compute the same by
/// construction. It needs `find`, `sort` and one of ``FleetTransport/HostTools/sha256``.
public enum DirectoryDigest {
    /// Defines the function `fleet_digest`, which prints the digest of the working directory.
    public static let shellFunction =
        HostTools.sha256 + #"""
            fleet_digest() {
                {
                    find . -type d -exec printf 'd %s\n' {} +
                    find . -type f -exec $sha {} + | sed 's/^\([0-9a-f]\{64\}\) \*/\1  /'
                    find . -type f -perm -100 -exec printf 'x %s\n' {} +
                    find . -type l -exec sh -c 'for l; do
                        printf "l %s -> %s\n" "$l" "$(readlink "$l")"
                    done' sh {} +
                } | LC_ALL=C sort | $sha | cut -c1-64
            }
            """#
}
