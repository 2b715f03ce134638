import Foundation

/// A Kerberos realm of its own on loopback: MIT's KDC, a user with the name of whoever runs the tests, and a host called
/// `localhost`.
public final class KerberosRealm: Sendable {
    private let directory: TemporaryDirectory
    private let process: ChildProcess

    /// What programs that use the realm are started with, clients and sshd alike.
    public let variables: [String: String]
    /// What an sshd is told that takes tickets and nothing else.
    public static let configuration = [
        "GSSAPIAuthentication yes", "GSSAPIStrictAcceptorCheck no", "AuthorizedKeysFile none",
    ]

    /// Sets the realm up and starts its KDC.
    ///
    /// - Throws: ``Command/Failed`` with a tool's words.
    public init() throws {
        directory = try TemporaryDirectory()
        let path = directory.path
        let port = try SSHDServer.freePort()
        try directory.write(
            """
            [libdefaults]
            default_realm = FLEET.TEST
            dns_lookup_kdc = false
            dns_canonicalize_hostname = false
            rdns = false
            [realms]
            FLEET.TEST = {
                kdc = 127.0.0.1:\(port)
            }
            [domain_realm]
            localhost = FLEET.TEST
            """,
            to: "krb5.conf"
        )
        try directory.write(
            """
            [kdcdefaults]
            kdc_ports = \(port)
            kdc_tcp_ports = \(port)
            kdc_listen = 127.0.0.1:\(port)
            kdc_tcp_listen = 127.0.0.1:\(port)
            [realms]
            FLEET.TEST = {
                database_name = \(path)/principal
                key_stash_file = \(path)/stash
                acl_file = \(path)/acl
            }
            """,
            to: "kdc.conf"
        )
        variables = [
            "KRB5_CONFIG": path + "/krb5.conf", "KRB5_KDC_PROFILE": path + "/kdc.conf",
            "KRB5CCNAME": "FILE:" + path + "/ticket", "KRB5_KTNAME": path + "/keytab",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        ]
        for words in [
            ["kdb5_util", "create", "-s", "-r", "FLEET.TEST", "-P", "master"],
            ["kadmin.local", "-q", "addprinc -pw secret \(NSUserName())"],
            ["kadmin.local", "-q", "addprinc -randkey host/localhost"],
            ["kadmin.local", "-q", "ktadd -k \(path)/keytab host/localhost"],
        ] {
            let result = try Command.run(words, in: path, environment: variables)
            guard result.status == 0 else {
                throw Command.Failed(description: "\(words): \(result.errors)")
            }
        }
        process = try ChildProcess(["/usr/sbin/krb5kdc", "-n"], in: path, environment: variables)
    }

    deinit {
        kill(process.pid, SIGTERM)
        process.wait()
    }

    /// Asks for the user's ticket.
    ///
    /// - Returns: Whether the KDC gave one; at first it may not listen yet.
    public func getTicket() throws -> Bool {
        try Command.run(["kinit", NSUserName()], environment: variables, input: "secret\n").status
            == 0
    }
}
