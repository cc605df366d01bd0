"""Disks for tests: an ext4 on a loop device whose power can be cut, and a small tmpfs. Both need root."""

import fcntl
import os
import shutil
import struct
import subprocess

from report import Skip
from server import temp_dir

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
SHUTDOWN_NO_LOG_FLUSH = 2


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise Skip("%s: %s" % (" ".join(command), result.stderr.strip() or result.returncode))


def need(*programs):
    if os.geteuid() != 0:
        raise Skip("needs root")
    for program in programs:
        if not shutil.which(program, path=os.environ["PATH"] + ":/sbin:/usr/sbin"):
            raise Skip("needs %s" % program)


class PowerDisk:
    """An ext4 file system of its own; cut() drops everything that was not synced, journal included."""

    def __init__(self, size_mib=768):
        need("mkfs.ext4", "mount", "losetup")
        directory = temp_dir("torc-disk")
        self.image = os.path.join(directory, "image")
        self.path = os.path.join(directory, "mnt")
        os.mkdir(self.path)
        with open(self.image, "wb") as image:
            image.truncate(size_mib << 20)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
        self.mounted = False
        self.mount()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.mounted:
            subprocess.run(["umount", "-l", self.path], check=False)
        os.unlink(self.image)

    def mount(self):
        # A long commit interval: what survives survives because it was synced, not by luck.
        run("mount", "-o", "loop,commit=300", self.image, self.path)
        self.mounted = True

    def umount(self):
        subprocess.run(["umount", self.path], check=True)
        self.mounted = False

    def cut(self):
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", SHUTDOWN_NO_LOG_FLUSH))
        finally:
            os.close(descriptor)


class SmallDisk:
    """A tmpfs with a ballast file, whose removal makes room."""

    def __init__(self, size_mib, ballast_mib):
        need("mount")
        self.path = temp_dir("torc-small")
        run("mount", "-t", "tmpfs", "-o", "size=%dm,mode=755" % size_mib, "none", self.path)
        self.ballast = os.path.join(self.path, "ballast")
        with open(self.ballast, "wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, ballast_mib << 20)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        subprocess.run(["umount", "-l", self.path], check=False)

    def free_bytes(self):
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self):
        """Leaves no byte; make_room() gives it back."""
        with open(self.ballast, "ab", buffering=0) as ballast:
            for size in (1 << 20, 4096, 1):
                try:
                    while ballast.write(b"x" * size):
                        pass
                except OSError:
                    pass

    def make_room(self):
        os.unlink(self.ballast)
