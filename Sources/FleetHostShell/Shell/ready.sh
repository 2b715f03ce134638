# The end of the prologue: says `READY GROUP DIRECTORY`.
fleet_say READY $fleet_group "$fleet_dir"
