// swift-tools-version: 6.2
import PackageDescription

/// Every target of ours: Swift 6 mode, explicit existentials, imports that say what leaks, and no
/// warning left standing.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

/// `scripts` is a directory of what runs on hosts, which becomes a part of the program.
func library(_ name: String, _ dependencies: [Target.Dependency] = [], scripts: String? = nil)
    -> Target
{
    .target(
        name: name,
        dependencies: dependencies,
        resources: scripts.map { [.embedInCode($0)] } ?? [],
        swiftSettings: settings
    )
}

func support(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(
        name: name,
        dependencies: dependencies,
        path: "Tests/Support/\(name)",
        swiftSettings: settings
    )
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = [])
    -> Target
{
    .testTarget(
        name: name,
        dependencies: dependencies,
        exclude: exclude,
        swiftSettings: settings
    )
}

let package = Package(
    name: "fleet",
    products: [
        .executable(name: "fleet", targets: ["fleet"]),
        .executable(name: "fleet-web", targets: ["fleet-web"]),
        .executable(name: "fleet-server", targets: ["fleet-server"]),
    ],
    dependencies: [
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.1"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(
            url: "https://github.com/hummingbird-project/hummingbird",
            from: "2.28.1",
            traits: []
        ),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
    ],
    targets: [
        // The pure core: no I/O, clock or randomness. Data flows downwards.
        library("FleetYAML", [.product(name: "Yams", package: "Yams")]),
        library("FleetDigest", ["CLibSSH2"]),
        library("FleetTransport"),
        library("FleetInventory", ["FleetYAML", "FleetTransport"]),
        library(
            "FleetPlaybook",
            [
                "FleetYAML", "FleetTransport", "FleetDigest",
                .product(name: "Mustache", package: "swift-mustache"),
            ]
        ),
        library("FleetPlan", ["FleetInventory", "FleetPlaybook", "FleetTransport", "FleetDigest"]),
        library("FleetRollout", ["FleetPlan", "FleetTransport"]),
        library(
            "FleetServing",
            ["FleetYAML", "FleetTransport", "FleetPlan", "FleetDigest"]
        ),
        library(
            "FleetReport",
            [
                "FleetYAML", "FleetInventory", "FleetPlan", "FleetRollout", "FleetTransport",
                "FleetDigest",
            ]
        ),

        // The shell around it: sockets, SQLite, files, the terminal.
        .systemLibrary(
            name: "CLibSSH2",
            pkgConfig: "libssh2",
            providers: [.apt(["libssh2-1-dev", "libssl-dev"])]
        ),
        .systemLibrary(name: "CMalloc"),
        .systemLibrary(name: "CLinux"),
        library("FleetFiles"),
        library("FleetReactor", ["FleetTransport", "CLinux"]),
        library(
            "FleetHostShell",
            ["FleetReactor", "FleetTransport", "FleetDigest", "CLinux"],
            scripts: "Shell"
        ),
        library(
            "FleetSSH",
            [
                "FleetHostShell", "FleetReactor", "FleetTransport", "FleetDigest", "FleetFiles",
                "CLibSSH2", "CLinux",
            ]
        ),
        library(
            "FleetOpenSSH",
            ["FleetHostShell", "FleetReactor", "FleetTransport", "FleetFiles"]
        ),
        library("FleetLocal", ["FleetHostShell", "FleetReactor", "FleetTransport"]),
        library(
            "FleetClients",
            ["FleetSSH", "FleetOpenSSH", "FleetLocal", "FleetReactor", "FleetTransport"]
        ),
        library(
            "FleetHTTP",
            [
                "FleetTransport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ]
        ),
        library(
            "FleetJournal",
            [
                "FleetDigest", "FleetPlan", "FleetRollout", "FleetTransport", "FleetServing",
                .product(name: "GRDB", package: "GRDB.swift"),
            ]
        ),
        library(
            "FleetProject",
            [
                "FleetYAML", "FleetInventory", "FleetPlaybook", "FleetDigest", "FleetTransport",
                "FleetFiles",
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ]
        ),
        library(
            "FleetRunner",
            [
                "FleetInventory", "FleetPlan", "FleetRollout", "FleetTransport", "FleetJournal",
                "FleetHTTP", "FleetDigest",
            ],
            scripts: "Shell"
        ),
        // The use cases, whatever face stands before them.
        library(
            "FleetOperations",
            [
                "FleetYAML", "FleetTransport", "FleetInventory", "FleetPlaybook", "FleetPlan",
                "FleetRollout", "FleetReport", "FleetSSH", "FleetOpenSSH", "FleetClients",
                "FleetJournal", "FleetProject", "FleetRunner", "FleetFiles", "FleetServing",
            ]
        ),
        // A terminal: what is drawn there, and what is asked.
        library(
            "FleetTerminal",
            [
                "FleetOperations", "FleetReport", "FleetRollout", "FleetRunner", "FleetPlan",
                "FleetSSH", "FleetTransport", "FleetFiles",
                "FleetClients",
            ]
        ),
        .executableTarget(
            name: "fleet",
            dependencies: [
                "FleetTerminal",
                "FleetOperations",
                "FleetYAML", "FleetTransport", "FleetInventory", "FleetPlaybook", "FleetPlan",
                "FleetRollout", "FleetReport", "FleetSSH", "FleetJournal", "FleetProject",
                "FleetRunner", "FleetDigest", "FleetFiles", "FleetHostShell", "FleetOpenSSH",
                "FleetLocal", "FleetClients", "CMalloc",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings
        ),
        // What speaks HTTP to others than hosts: a program of its own, because linking it made `fleet` start 7 % slower.
        library(
            "FleetWeb",
            [
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]
        ),
        .executableTarget(
            name: "fleet-web",
            dependencies: ["FleetWeb", "FleetReport"],
            swiftSettings: settings
        ),

        // The server: pages, an API and hooks over the same operations; a program of its own for the same reason.
        .target(
            name: "FleetServer",
            dependencies: [
                "FleetOperations", "FleetServing", "FleetJournal", "FleetProject", "FleetReport",
                "FleetRollout", "FleetPlan", "FleetInventory", "FleetTransport", "FleetYAML",
                "FleetDigest", "FleetFiles", "FleetWeb",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Mustache", package: "swift-mustache"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            resources: [.embedInCode("Templates"), .embedInCode("Assets")],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "fleet-server",
            dependencies: [
                "FleetServer", "FleetOperations", "FleetServing", "FleetReport", "FleetTerminal",
                "FleetSSH", "FleetYAML", "FleetRollout",
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),

        // Tests, and what they stand on.
        support(
            "FleetSimulator",
            ["FleetPlan", "FleetRollout", "FleetTransport", "FleetDigest", "FleetTestSupport"]
        ),
        support(
            "FleetRunnerSimulator",
            [
                "FleetRunner", "FleetJournal", "FleetRollout", "FleetPlan", "FleetTransport",
                "FleetTestSupport",
            ]
        ),
        support("FleetTestSupport", ["FleetTransport"]),
        .executableTarget(
            name: "fleet-simulate",
            dependencies: [
                "FleetSimulator", "FleetRunnerSimulator", "FleetRollout", "FleetJournal",
                "FleetTestSupport",
            ],
            path: "Tests/Support/fleet-simulate",
            swiftSettings: settings
        ),
        tests(
            "FleetServingTests",
            ["FleetServing", "FleetYAML", "FleetTransport"]
        ),
        tests(
            "FleetServerTests",
            [
                "FleetServer", "FleetOperations", "FleetServing", "FleetJournal", "FleetReport",
                "FleetRollout", "FleetSSH", "FleetTransport", "FleetTestSupport", "FleetYAML",
                .product(name: "HTTPTypes", package: "swift-http-types"),
            ]
        ),
        tests("FleetYAMLTests", ["FleetYAML"]),
        tests(
            "FleetOperationsTests",
            [
                "FleetOperations", "FleetJournal", "FleetProject", "FleetPlan", "FleetReport",
                "FleetRollout", "FleetSSH", "FleetTransport", "FleetTestSupport",
            ]
        ),
        tests("FleetDigestTests", ["FleetDigest"]),
        tests("FleetFilesTests", ["FleetFiles", "FleetTestSupport"]),
        tests("FleetTransportTests", ["FleetTransport", "FleetTestSupport"]),
        tests(
            "FleetInventoryTests",
            ["FleetInventory", "FleetTransport", "FleetYAML", "FleetTestSupport"]
        ),
        tests(
            "FleetPlaybookTests",
            ["FleetPlaybook", "FleetTransport", "FleetYAML", "FleetTestSupport"]
        ),
        tests(
            "FleetPlanTests",
            [
                "FleetPlan", "FleetInventory", "FleetPlaybook", "FleetTransport", "FleetYAML",
                "FleetTestSupport",
            ]
        ),
        tests(
            "FleetRolloutTests",
            ["FleetRollout", "FleetPlan", "FleetTransport", "FleetSimulator", "FleetTestSupport"],
            exclude: ["Transcripts"]
        ),
        tests(
            "FleetReportTests",
            ["FleetReport", "FleetRollout", "FleetPlan", "FleetTransport", "FleetTestSupport"]
        ),
        tests("FleetProjectTests", ["FleetProject", "FleetPlaybook", "FleetTestSupport"]),
        tests("FleetHTTPTests", ["FleetHTTP", "FleetTransport"]),
        tests("FleetHostShellTests", ["FleetHostShell", "FleetTransport", "FleetTestSupport"]),
        tests(
            "FleetSSHTests",
            ["FleetSSH", "FleetHostShell", "FleetReactor", "FleetTransport", "FleetTestSupport"]
        ),
        tests(
            "FleetClientsTests",
            ["FleetClients", "FleetSSH", "FleetHostShell", "FleetTransport", "FleetTestSupport"]
        ),
        tests(
            "FleetJournalTests",
            [
                "FleetJournal", "FleetRollout", "FleetPlan", "FleetTransport", "FleetTestSupport",
                "FleetDigest", "FleetServing",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            exclude: ["Fixtures"]
        ),
        tests(
            "FleetRunnerTests",
            [
                "FleetRunner", "FleetJournal", "FleetRollout", "FleetPlan", "FleetTransport",
                "FleetSSH", "FleetTestSupport", "FleetRunnerSimulator",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            exclude: ["Fixtures"]
        ),
        tests(
            "FleetCLITests",
            ["fleet", "fleet-web", "FleetTestSupport"],
            exclude: ["Messages"]
        ),
        tests("ArchitectureTests", ["FleetTestSupport"]),
    ]
)

// What is tested under a sanitizer and fuzzed is the way to the hosts, alone: everything else would only be
// built. `scripts/test` and `scripts/fuzz` ask for it.
if let purpose = Context.environment["FLEET_SSH_ALONE"] {
    let proofs: Set =
        purpose == "tests" ? ["FleetSSHTests", "FleetHostShellTests"] : ["fleet-fuzz"]
    let kept: Set = [
        "CLibSSH2", "CLinux", "FleetTransport", "FleetDigest", "FleetFiles", "FleetReactor",
        "FleetHostShell", "FleetSSH", "FleetTestSupport",
    ]
    package.products = []
    package.dependencies = []
    // Needs a toolchain with libFuzzer, so it is no part of the usual build.
    package.targets.append(
        .executableTarget(
            name: "fleet-fuzz",
            dependencies: ["FleetSSH", "FleetHostShell", "FleetTransport", "FleetTestSupport"],
            path: "Tests/Support/fleet-fuzz",
            swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])]
        )
    )
    package.targets.removeAll { !kept.union(proofs).contains($0.name) }
}
