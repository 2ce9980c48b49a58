package dbtest

import "syscall"

// dieWithParent has the kernel tell the server to end at once when the thread that started it is gone.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGQUIT }
