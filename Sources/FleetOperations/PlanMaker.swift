internal import FleetInventory
internal import FleetPlan
internal import FleetPlaybook
internal import FleetProject
internal import FleetReport
internal import FleetRollout
internal import FleetRunner
internal import FleetTransport
internal import FleetYAML

/// Makes a plan from what the command line names: files, hosts, and the release that a host finds
/// in its repository.
struct PlanMaker {
    let project: Project
    let transport: any Transport
    /// Where packed directories are kept.
    let archives: String
    /// Told what is being done; progress, not results.
    let note: (String) -> Void

    func plan(
        kind: Plan.Kind,
        playbook name: String,
        of inventory: Inventory,
        on selected: [Host],
        choice: RolloutChoice
    ) async throws(OperationFailure) -> Plan {
        let playbook: Playbook
        let files: [String: LocalFile]
        do {
            let written = try project.playbook(name)
            playbook = choice.isHotfix ? written.asHotfix : written
            files = try await project.files(
                of: playbook,
                in: inventory.environment,
                packedIn: archives
            )
        } catch {
            throw OperationFailure(error)
        }
        // A playbook that deploys a release is a deploy, whoever runs it.
        let isDeploy = kind == .run && playbook.releaseStep != nil
        var request = PlanRequest(
            kind: isDeploy ? .deploy : kind,
            inventory: inventory,
            hosts: selected,
            playbook: playbook
        )
        request.variables = choice.variables
        request.fanout = choice.fanout
        request.evenIfUnhealthy = choice.evenIfUnhealthy
        request.rehearses = choice.rehearses
        request.files = files
        let selection = try selection(choice.release, playbook)
        if let selection {
            let release = try await release(selection, for: request)
            if let wanted = choice.mustBe, release.commit != wanted {
                throw OperationFailure(
                    .refused,
                    "E_TAG_MOVED \(release.label) was \(wanted.prefix(12)) and is now "
                        + "\(release.commit.prefix(12))",
                    hints: ["a published tag must not move", "nothing was changed"]
                )
            }
            request.release = release
            if case .controller(let path) = playbook.releaseSource {
                request.bundles = try await bundles(from: path, of: release, for: request)
            }
        } else if kind == .deploy {
            throw OperationFailure(
                .usage,
                "the playbook `\(name)` deploys no release",
                hints: ["add a `checkout` step to it, or use `fleet run \(name) ENV`"]
            )
        }
        do {
            let plan = try Planner.plan(request)
            if let unused = Self.unused(in: request, plan, among: inventory.hosts) {
                throw OperationFailure(
                    .usage,
                    "`\(unused)` was given a value, and nothing in the playbook `\(name)` asks for it",
                    hints: Suggestion.hint(for: unused, in: Array(playbook.variables.keys))
                        + ["a step refers to it as `${{ vars.\(unused) }}`", "nothing was changed"]
                )
            }
            return plan
        } catch let failure as OperationFailure {
            throw failure
        } catch let problems as Diagnostics {
            throw OperationFailure(project.withSources(problems))
        } catch {
            preconditionFailure("nothing else is thrown there")
        }
    }

    /// A variable of the command line without which the plan would be the same.
    ///
    /// What was typed and has no effect was meant to have one.
    /// Other hosts may ask for what the chosen ones do not; templates may only ask whether it says yes.
    private static func unused(in request: PlanRequest, _ plan: Plan, among hosts: [Host])
        -> String?
    {
        var everywhere = request
        everywhere.hosts = hosts
        for name in request.variables.keys.sorted() {
            let isAsked = hasEffect(name, in: request, plan) || hasEffect(name, in: everywhere, nil)
            if !isAsked { return name }
        }
        return nil
    }

    private static func hasEffect(_ name: String, in request: PlanRequest, _ plan: Plan?) -> Bool {
        do throws(Diagnostics) {
            let known = if let plan { plan } else { try Planner.plan(request) }
            for value in [(request.variables[name] ?? "") + "0", "", "no", "yes"] {
                var other = request
                other.variables[name] = value
                if try Planner.plan(other).hosts != known.hosts { return true }
            }
            return false
        } catch {
            // It is asked for: another value does not do.
            return true
        }
    }

    /// What was asked for; the newest release if nothing was; nil if the playbook deploys none.
    private func selection(_ wanted: ReleaseSelection?, _ playbook: Playbook)
        throws(OperationFailure) -> ReleaseSelection?
    {
        guard playbook.releaseStep != nil else {
            guard wanted == nil else {
                throw OperationFailure(
                    .usage,
                    "the playbook `\(playbook.name)` deploys no release"
                )
            }
            return nil
        }
        if case .tag(let tag) = wanted {
            do {
                try GitName.check(tag: tag)
            } catch {
                throw OperationFailure(error)
            }
        }
        return wanted ?? .newest
    }

    /// Resolves a selection once, to one commit for all hosts, on the first host that answers.
    private func release(_ selection: ReleaseSelection, for request: PlanRequest)
        async throws(OperationFailure) -> Release
    {
        if case .commit = selection {
            return try resolve(selection, in: ReleaseListing(lsRemote: ""))
        }
        if case .controller(let path) = request.playbook.releaseSource {
            let bundler = bundler(path)
            do {
                return try resolve(
                    selection,
                    in: ReleaseListing(lsRemote: try await bundler.listing())
                )
            } catch let error as ReleaseBundler.Failure {
                throw failure(error, path)
            } catch let error as OperationFailure {
                throw error
            } catch {
                preconditionFailure("nothing else is thrown there")
            }
        }
        let survey = Survey(transport: transport)
        var first: OperationFailure?
        for host in request.hosts {
            let script: Script?
            do {
                script = try Planner.script(.listing, on: host, for: request)
            } catch {
                throw OperationFailure(project.withSources(error))
            }
            guard let script else { break }
            note("asking \(host.name) which releases there are")
            let answer: Survey.Answer
            do {
                answer = try await survey.ask(host, script)
            } catch {
                // Another host may answer; preflight speaks of this one later.
                first = first ?? OperationFailure(error, host: host.name)
                if error.isRetryable { continue }
                break
            }
            guard answer.status == 0 else { throw refusal(of: host.name, answer.text) }
            return try resolve(selection, in: ReleaseListing(lsRemote: answer.text))
        }
        throw first ?? OperationFailure(.refused, "no host could say which releases there are")
    }

    private func bundler(_ path: String) -> ReleaseBundler {
        ReleaseBundler(
            repository: path.hasPrefix("/") ? path : "\(project.root)/\(path)",
            archives: archives,
            isProjects: path == "."
        )
    }

    private func failure(_ error: ReleaseBundler.Failure, _ path: String) -> OperationFailure {
        OperationFailure(
            .refused,
            "cannot take the release out of the repository `\(path)`: "
                + Sanitizer.safe(error.reason),
            hints: ["nothing was changed"]
        )
    }

    /// For every host a bundle of what it lacks; hosts that lack the same share one.
    ///
    /// Hosts that do not answer get none: preflight speaks of them.
    private func bundles(from path: String, of release: Release, for request: PlanRequest)
        async throws(OperationFailure) -> [HostName: ReleaseBundle]
    {
        var questions: [(host: Host, script: Script)] = []
        for host in request.hosts {
            do {
                guard let script = try Planner.script(.holding, on: host, for: request) else {
                    return [:]
                }
                questions.append((host, script))
            } catch {
                throw OperationFailure(project.withSources(error))
            }
        }
        note("asking \(questions.count) hosts what they have of \(release.label)")
        let answers = await Survey(transport: transport).ask(questions)
        let bundler = bundler(path)
        var made: [[String]: ReleaseBundle] = [:]
        var known: [String: [String]] = [:]
        var bundles: [HostName: ReleaseBundle] = [:]
        for host in request.hosts {
            guard case .success(let answer) = answers[host.name], answer.status == 0 else {
                continue
            }
            let ids = answer.text.split(whereSeparator: \.isNewline).map(String.init)
            guard !ids.contains("has") else { continue }
            do throws(ReleaseBundler.Failure) {
                let basis =
                    if let basis = known[answer.text] { basis } else {
                        try await bundler.basis(of: ids.filter(GitName.isCommit))
                    }
                known[answer.text] = basis
                let bundle =
                    if let bundle = made[basis] { bundle } else {
                        try await bundler.bundle(
                            of: release.commit,
                            tag: release.tag,
                            without: basis
                        )
                    }
                made[basis] = bundle
                bundles[host.name] = bundle
            } catch {
                throw failure(error, path)
            }
        }
        return bundles
    }

    /// What a host said instead of listing its releases.
    private func refusal(of host: HostName, _ text: String) -> OperationFailure {
        let lines = text.split(whereSeparator: \.isNewline).map { Sanitizer.line(String($0)) }
        let reason = lines.last { $0.hasPrefix("E_") } ?? "cannot list releases"
        let details = lines.filter { !$0.hasPrefix("E_") }.suffix(3)
        return OperationFailure(
            .refused,
            "\(host): \(reason)",
            hints: details + ["nothing was changed"]
        )
    }

    private func resolve(_ selection: ReleaseSelection, in listing: ReleaseListing)
        throws(OperationFailure) -> Release
    {
        do {
            return try listing.release(for: selection)
        } catch {
            throw OperationFailure(error)
        }
    }
}
