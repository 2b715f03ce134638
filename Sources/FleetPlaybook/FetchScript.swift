public import FleetTransport

/// What reads a file or a directory on a host for `fleet fetch`.
///
/// Under `become_user`, and for root, links are followed as steps follow them: nobody else's link makes
/// root read another file than the one that was named (see ``SafePath``).
public enum FetchScript {
    /// Prints what is there: `file SIZE SHA256`, or `directory`; why not, otherwise.
    ///
    /// - Parameters:
    ///   - path: The path on the host; `~/` is the account's home.
    ///   - becomeUser: The account that reads it; nil for the login account.
    /// - Returns: A script that changes nothing.
    public static func question(of path: String, becomeUser: String?) -> Script {
        script(
            #"""
            if ! walk "$FLEET_PATH" || [ ! -e "./$name" ]; then echo "$FLEET_PATH does not exist"; exit 1
            elif [ ! -r "./$name" ]; then echo "$FLEET_PATH is not readable by $(id -un)"; exit 1
            elif [ -d "./$name" ]; then
                if [ -n "$strict" ] && is_busybox tar; then
                    echo "$FLEET_PATH is a directory, and this host's tar follows links that are put into it: fetch its files, or as an account that may read no more than it should"
                    exit 1
                fi
                echo directory
            elif [ ! -f "./$name" ]; then echo "$FLEET_PATH is no regular file"; exit 1
            elif ! no_sha; then
                size=$(reading "./$name" wc -c) && sum=$(reading "./$name" $sha | cut -c1-64) && [ -n "$sum" ] || exit 1
                echo file $((size)) "$sum"
            else exit 1; fi
            """#,
            path,
            becomeUser
        )
    }

    /// Writes a file's bytes to standard output.
    public static func file(_ path: String, becomeUser: String?) -> Script {
        script(
            #"walk "$FLEET_PATH" && reading "./$name" cat 2>/dev/null"#,
            path,
            becomeUser,
            streams: true
        )
    }

    /// Writes a directory to standard output, as a tar archive.
    public static func directory(_ path: String, becomeUser: String?) -> Script {
        script(
            #"""
            walk "$FLEET_PATH" && { [ "$name" = . ] || into "$name"; } || exit 1
            tar -cf - . 2>/dev/null
            """#,
            path,
            becomeUser,
            streams: true
        )
    }

    private static func script(
        _ text: String,
        _ path: String,
        _ becomeUser: String?,
        streams: Bool = false
    ) -> Script {
        let place = #"FLEET_PATH=$(absolute "$FLEET_PATH"); export FLEET_PATH"# + "\n"
        return Script(
            "fleet_text=\(ShellWord.quote(place + text))\neval \"$fleet_text\"",
            environment: [
                EnvironmentVariable("FLEET_BECAME", becomeUser == nil ? "" : "1"),
                EnvironmentVariable("FLEET_PATH", path),
                EnvironmentVariable("FLEET_STREAMS", streams ? "1" : ""),
            ],
            becomeUser: becomeUser,
            library: ScriptLibrary.upload.rawValue
        ).completed(by: ScriptLibrary.texts)
    }
}
