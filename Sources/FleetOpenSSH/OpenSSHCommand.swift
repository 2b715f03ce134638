internal import FleetTransport

/// The command lines by which `ssh` reaches a host.
///
/// The inventory's word is ssh's command line; everything else `ssh` reads for itself, which is why it is used. No
/// secret ever stands there.
struct OpenSSHCommand: Sendable {
    let program: String
    let version: OpenSSHVersion
    let endpoint: HostEndpoint
    /// What is done about a host never seen before.
    let hostKeys: HostKeyPolicy
    /// The user's ssh_config, if it is not where `ssh` looks by itself; `none` for none at all.
    let configuration: String?

    /// How long ssh may take for a connection, in seconds.
    static let connectSeconds = 10

    /// What logs in and runs the first command; further ones go through its control socket.
    func first(_ command: String, control: String, log: String) -> [String] {
        [program] + configured + ["-T", "-v", "-E", log, "-S", control]
            + options(["ControlMaster=yes", "ControlPersist=no"] + settings(of: endpoint.ssh))
            + ["--", endpoint.name.text, command]
    }

    /// What runs one more command, or connects from the host, through the control socket, and nowhere else: without
    /// that socket it fails.
    func further(
        _ command: String?,
        control: String,
        log: String,
        connectingTo target: String? = nil
    )
        -> [String]
    {
        [program, "-F", "none", "-T", "-v", "-E", log, "-S", control]
            + options(["ControlMaster=no", "ProxyCommand=false", "BatchMode=yes"])
            + (target.map { ["-W", $0] } ?? []) + ["--", "host"] + (command.map { [$0] } ?? [])
    }

    private func options(_ words: [String]) -> [String] { words.flatMap { ["-o", $0] } }

    /// Nothing is asked, forwarded, run or learned that fleet has not asked for.
    private static let pinned = [
        "BatchMode=yes", "PermitLocalCommand=no", "RemoteCommand=none", "UpdateHostKeys=no",
        "ClearAllForwardings=yes", "ForwardX11=no", "AddKeysToAgent=no",
        "Tunnel=no", "EscapeChar=none", "VisualHostKey=no", "ConnectionAttempts=1",
        "ServerAliveInterval=7", "ServerAliveCountMax=2",
    ]

    /// What the inventory says, as ssh's command line.
    private func settings(of ssh: SSHSettings, isJump: Bool = false) -> [String] {
        var words = Self.pinned
        // `-W` is a kind of session of its own.
        if version.hasSessionType, !isJump {
            words += ["SessionType=default", "StdinNull=no", "ForkAfterAuthentication=no"]
        }
        words.append("StrictHostKeyChecking=\(hostKeys == .acceptNew ? "accept-new" : "yes")")
        let seconds =
            ssh.connectTimeoutMilliseconds.map { max(1, $0 / 1000) } ?? Self.connectSeconds
        words.append("ConnectTimeout=\(seconds)")
        return words + given(by: ssh, isJump: isJump)
    }

    /// What asks `ssh` how it would reach the host: what the inventory says, and nothing of fleet's own.
    var question: [String] {
        [program, "-G"] + configured + options(given(by: endpoint.ssh, isJump: false))
            + ["--", endpoint.name.text]
    }

    /// What lets the host prove its key and then hangs up: nobody logs in.
    ///
    /// With a known_hosts file of its own, a key is added there whatever it is; with the usual ones (nil), only a known
    /// key will do.
    func proof(into file: String?) -> [String] {
        var words = [
            "PreferredAuthentications=none", "BatchMode=yes", "ControlPath=none",
            "ControlMaster=no",
        ]
        if let file {
            words += [
                "UserKnownHostsFile=\(Self.quoted(file))", "GlobalKnownHostsFile=/dev/null",
                "StrictHostKeyChecking=accept-new", "HashKnownHosts=no", "UpdateHostKeys=no",
            ]
            // Since OpenSSH 8.5; before that there is no such command.
            if (version.major, version.minor) >= (8, 5) { words.append("KnownHostsCommand=none") }
        } else {
            words.append("StrictHostKeyChecking=yes")
        }
        return [program, "-v", "-T"] + configured + options(words + settings(of: endpoint.ssh))
            + ["--", endpoint.name.text, "true"]
    }

    private func given(by ssh: SSHSettings, isJump: Bool) -> [String] {
        var words: [String] = []
        func say(_ name: String, _ value: String?) {
            if let value { words.append("\(name)=\(value)") }
        }
        say("HostName", ssh.hostname)
        say("Port", ssh.port.map(String.init))
        say("User", ssh.user)
        say("HostKeyAlias", ssh.hostKeyAlias)
        if let file = ssh.knownHostsFile {
            say("UserKnownHostsFile", Self.quoted(file))
            say("GlobalKnownHostsFile", "/dev/null")
        }
        for file in ssh.identityFiles ?? [] { say("IdentityFile", Self.quoted(file)) }
        // The agent is for the host, not for whom it is reached through. Otherwise ssh_config decides, but where any key
        // will do, what it says of hosts by pattern was said of others.
        let isKnown = hostKeys == .strict
        say(
            "ForwardAgent",
            isJump ? "no" : ssh.forwardAgent.map { $0 ? "yes" : "no" } ?? (isKnown ? nil : "no")
        )
        say("IdentitiesOnly", ssh.identitiesOnly.map { $0 ? "yes" : "no" })
        switch (ssh.proxyCommand, ssh.jump) {
        case (let command?, _): say("ProxyCommand", command)
        case (nil, "none"?): words += ["ProxyJump=none", "ProxyCommand=none"]
        case (nil, let jump?): say("ProxyCommand", through(jump, ssh))
        case (nil, nil): break
        }
        return words
    }

    /// The way through jump hosts, as a command: what the inventory says of keys and known hosts holds for them, too.
    private func through(_ jump: String, _ ssh: SSHSettings) -> String {
        let hops = jump.split(separator: ",").map { $0.filter { $0 != " " } }
        var last = SSHSettings()
        last.knownHostsFile = ssh.knownHostsFile
        last.identityFiles = ssh.identityFiles
        last.identitiesOnly = ssh.identitiesOnly
        if hops.count > 1 { last.jump = hops.dropLast().joined(separator: ",") }
        var host = hops.last ?? ""
        if host.hasPrefix("ssh://") {
            host = String(host.dropFirst("ssh://".count))
            while host.hasSuffix("/") { host.removeLast() }
        }
        if let at = host.lastIndex(of: "@") {
            last.user = String(host[..<at])
            host = String(host[host.index(after: at)...])
        }
        let colons = host.filter { $0 == ":" }.count
        if host.hasPrefix("["), let close = host.firstIndex(of: "]") {
            last.port = Int(host[host.index(after: close)...].dropFirst())
            host = String(host[host.index(after: host.startIndex)..<close])
        } else if colons == 1, let colon = host.firstIndex(of: ":") {
            last.port = Int(host[host.index(after: colon)...])
            host = String(host[..<colon])
        }
        let words =
            [program] + (configuration.map { ["-F", $0] } ?? []) + ["-T"]
            + options(["ControlMaster=no", "ControlPath=none"] + settings(of: last, isJump: true))
        // `%` of ours is none of ssh's; the two of the target are.
        return words.map(ShellWord.quote).joined(separator: " ").replacing("%", with: "%%")
            + " -W '[%h]:%p' -- " + ShellWord.quote(host).replacing("%", with: "%%")
    }

    /// A path in a list of paths (ssh_config(5)): blanks in it stay, and `~` and tokens are ssh's to write out.
    private static func quoted(_ path: String) -> String {
        "\"\(path.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\""
    }

    /// The arguments that say which configuration is read.
    var configured: [String] { configuration.map { ["-F", $0] } ?? [] }
}
