import { exam } from "./history/exam.ts"

exam({ valid: 2_000, broken: 60 })
