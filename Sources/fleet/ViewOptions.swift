import ArgumentParser
import FleetTerminal

extension ProgressForm: ExpressibleByArgument {}

extension CIChoice: ExpressibleByArgument {}

/// How a rollout is shown while it is carried out, and what is left of it.
struct ViewOptions: ParsableArguments {
    @Option(help: "auto, live, plain, json or quiet; else FLEET_PROGRESS.")
    var progress: ProgressForm?
    @Flag(
        name: [.short, .long],
        help: "Show in the live view what each host prints; for commands of exec."
    )
    var verbose = false
    @Option(help: "auto, github, gitlab or none: fold and mark the output as that system wants it.")
    var ci: CIChoice = .auto
    @Option(help: ArgumentHelp("Write a report: one HTML page.", valueName: "file"))
    var report: String?
    @Option(help: ArgumentHelp("Write JUnit's XML, for GitLab and Jenkins.", valueName: "file"))
    var junit: String?
    @Option(
        help: ArgumentHelp(
            "Append FLEET_ROLLOUT=, FLEET_OUTCOME= and FLEET_REPORT= to a file, for later jobs.",
            valueName: "file"
        )
    )
    var outputs: String?

    func settings(_ common: CommonOptions) -> RolloutView.Settings {
        var settings = RolloutView.Settings(
            progress: ProgressForm.chosen(progress, isQuiet: common.quiet),
            printsEvents: common.output == .json
        )
        settings.isAskedFor = progress != nil && progress != .auto
        settings.isVerbose = verbose
        settings.system = ci.system
        return settings
    }

    /// The same options as words, for another process of this program that has no terminal.
    var same: [String] {
        func words(_ name: String, _ file: String?) -> [String] {
            file.map { [name, Surroundings.fromHere($0)] } ?? []
        }
        return ["--ci", ci.rawValue] + words("--report", report) + words("--junit", junit)
            + words("--outputs", outputs)
    }

    var ending: RolloutEnding {
        var files: [ReportFile] = []
        if let report { files.append(ReportFile(form: .html, path: Surroundings.output(report))) }
        if let junit { files.append(ReportFile(form: .junit, path: Surroundings.output(junit))) }
        return RolloutEnding(
            system: ci.system,
            files: files,
            outputs: outputs.map(Surroundings.fromHere),
            variable: Surroundings.variable
        )
    }
}
