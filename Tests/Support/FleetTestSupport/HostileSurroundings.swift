/// An account whose files and variables change what other programs print, choose or do, as far as they can.
public enum HostileSurroundings {
    /// Every documented setting that changes what git prints or does, at its most hostile.
    private static let configuration = """
            [color]
            ui = always
            branch = always
            diff = always
            status = always
            [column]
            ui = always
            [core]
            pager = false
            quotePath = true
            abbrev = 4
            autocrlf = true
            eol = crlf
            safecrlf = true
            symlinks = false
            hooksPath = HOOKS
            attributesFile = ATTRIBUTES
            excludesFile = EXCLUDES
            fsmonitor = true
            untrackedCache = true
            splitIndex = true
            checkStat = minimal
            trustctime = false
            ignoreStat = true
            [log]
            showSignature = true
            date = relative
            decorate = full
            [format]
            pretty = oneline
            [status]
            short = true
            branch = true
            showUntrackedFiles = no
            [diff]
            noprefix = true
            external = false
            renames = copies
            orderFile = ATTRIBUTES
            ignoreSubmodules = all
            [clone]
            defaultRemoteName = upstream
            [fetch]
            prune = true
            pruneTags = true
            recurseSubmodules = true
            [submodule]
            recurse = true
            [init]
            defaultBranch = trunk
            templateDir = TEMPLATE
            [commit]
            gpgSign = true
            [tag]
            gpgSign = true
            sort = -version:refname
            [feature]
            manyFiles = true
            [index]
            sparse = true
            [checkout]
            guess = true
            workers = 8
            [alias]
            checkout = !false
            rev-parse = !false
            [safe]
            directory = *
        """

    /// Puts them into a home directory.
    ///
    /// - Parameter home: The directory.
    /// - Returns: The variables that go with them.
    /// - Throws: What the file system says.
    public static func write(to home: TemporaryDirectory) throws -> [String: String] {
        try write(below: home.path) { try home.write($0, to: $1, mode: $2) }
    }

    /// The same in a directory inside it.
    ///
    /// - Parameters:
    ///   - home: The directory.
    ///   - folder: The account's own directory in it.
    /// - Returns: The variables that go with them.
    /// - Throws: What the file system says.
    public static func write(to home: TemporaryDirectory, in folder: String) throws -> [String:
        String]
    {
        try write(below: home.path + "/" + folder) {
            try home.write($0, to: folder + "/" + $1, mode: $2)
        }
    }

    private static func write(below path: String, _ write: (String, String, Int) throws -> Void)
        throws
        -> [String: String]
    {
        try write("* text=auto eol=crlf\n", "hostile/attributes", 0o644)
        try write("file\nnew\n", "hostile/excludes", 0o644)
        try write("#!/bin/sh\nexit 1\n", "hostile/hooks/post-checkout", 0o755)
        try write("#!/bin/sh\nexit 1\n", "hostile/template/hooks/post-checkout", 0o755)
        try write("exit 1\n", "hostile/rc", 0o644)
        try write(".headers on\n.mode column\n.timer on\n", ".sqliterc", 0o644)
        try write("silent\nfail\nproxy=127.0.0.1:1\n", ".curlrc", 0o644)
        try write(
            configuration.replacing("HOOKS", with: path + "/hostile/hooks")
                .replacing("ATTRIBUTES", with: path + "/hostile/attributes")
                .replacing("EXCLUDES", with: path + "/hostile/excludes")
                .replacing("TEMPLATE", with: path + "/hostile/template"),
            ".gitconfig",
            0o644
        )
        return [
            "GIT_DIR": path + "/nowhere.git", "GIT_WORK_TREE": path,
            "GIT_INDEX_FILE": path + "/index",
            "GIT_NAMESPACE": "other", "GIT_EXTERNAL_DIFF": "false", "GIT_PREFIX": "x/",
            "GIT_LITERAL_PATHSPECS": "1", "CDPATH": path, "ENV": path + "/hostile/rc",
            "BASH_ENV": path + "/hostile/rc", "POSIXLY_CORRECT": "1", "LC_ALL": "tr_TR.UTF-8",
            "LANGUAGE": "de",
            "COLUMNS": "10", "GREP_OPTIONS": "-v", "TAR_OPTIONS": "--wildcards",
            "GIT_PAGER": "false",
            "GIT_OPTIONAL_LOCKS": "1", "GIT_ATTR_SOURCE": "HEAD", "SYSTEMD_COLORS": "1",
            "SYSTEMD_PAGER": "false",
            "GZIP": "-1", "TIME_STYLE": "full-iso", "QUOTING_STYLE": "c", "BLOCK_SIZE": "1",
            "PS_FORMAT": "cmd",
            "GIT_TERMINAL_PROMPT": "1", "SSH_ASKPASS": "/bin/false", "SUDO_PROMPT": "hostile",
        ]
    }
}
