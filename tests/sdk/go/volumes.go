package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"
)

// volumes outlive sandboxes, and several see them.
func volumes(ctx context.Context, client *daytona.Client) {
	name, deeper := fmt.Sprintf("go-volume-%d", os.Getpid()), "deeper"
	_, err := client.Volume.Get(ctx, name)
	refused(err, 404, "not found")
	made := get(client.Volume.Create(ctx, name))
	volume := get(client.Volume.WaitForReady(ctx, made, time.Minute))
	equal([]string{volume.ID, volume.Name, volume.State}, []string{made.ID, name, "ready"})
	if age := time.Since(volume.CreatedAt); age < -time.Minute || age > time.Hour {
		fail("made at %s", volume.CreatedAt)
	}
	_, err = client.Volume.Create(ctx, name)
	refused(err, 400, "already exists")
	if !slices.ContainsFunc(get(client.Volume.List(ctx)), func(v *types.Volume) bool { return v.ID == volume.ID }) {
		fail("%s is not listed", name)
	}

	mounted := func(mounts ...types.VolumeMount) *daytona.Sandbox {
		return get(client.Create(ctx, types.SnapshotParams{SandboxBaseParams: types.SandboxBaseParams{Volumes: mounts}}))
	}
	one := mounted(types.VolumeMount{VolumeID: volume.ID, MountPath: "/home/daytona/volume"})
	run(ctx, one, "echo 'Hello from Daytona volume!' > volume/example.txt")
	refused(client.Volume.Delete(ctx, volume), 409, "in use by one or more sandboxes")
	must(one.Delete(ctx))
	two := mounted(types.VolumeMount{VolumeID: volume.ID, MountPath: "/data", Subpath: &deeper},
		types.VolumeMount{VolumeID: volume.ID, MountPath: "/all"})
	equal(run(ctx, two, "cat /all/example.txt; ls -A /data; ls -d /all/deeper"), "Hello from Daytona volume!\n/all/deeper\n")
	must(two.Delete(ctx))

	_, err = client.Create(ctx, types.SnapshotParams{SandboxBaseParams: types.SandboxBaseParams{
		Volumes: []types.VolumeMount{{VolumeID: volume.ID, MountPath: "/etc/x"}}}})
	refused(err, 400, "Invalid mount path /etc/x")
	must(client.Volume.Delete(ctx, volume))
	_, err = client.Volume.Get(ctx, name)
	refused(err, 404, "not found")
}
